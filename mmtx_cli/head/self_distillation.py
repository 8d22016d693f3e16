"""Self-distillation: the teacher is an exponential moving average of the student."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.distributed.collectives import whole
from mmtx_cli.head.masked_reconstruction import MaskedReconstructionHead
from mmtx_cli.layer.query_decoder import QueryDecoder
from mmtx_cli.types import Batch, ModalityInput, Patches, Patchifier


class SelfDistillationHead(MaskedReconstructionHead):
    """Predicts the features of masked patches, given by an exponential moving average of the
    encoder that sees the whole input (data2vec, Baevski et al. 2022).

    Targets are the last layer's tokens, each normalized to prevent collapse to a constant.
    """

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        patching: Mapping[str, Patchifier],
        encoders: Mapping[str, Any],
        modality: str,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        mask_ratio: float = 0.6,
        masking: str | None = None,
        decay: float = 0.999,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
    ) -> None:
        """``decay`` is the decay of the moving average per batch. The other arguments are those of
        masked reconstruction.
        """
        super().__init__(
            dim,
            available,
            patching,
            modality,
            streams,
            weight,
            mask_ratio,
            masking,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
        )
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} must be at least 0 and below 1")
        self.decay = decay
        self.student = (encoders[modality],)  # a tuple, so that it is not registered as a submodule
        self.teacher = copy.deepcopy(self.student[0]).requires_grad_(False).eval()
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        self.decoder = QueryDecoder(
            self.patching.width, dim, self.teacher.width, depth, num_heads, mlp_ratio
        )

    def train(self, mode: bool = True) -> "SelfDistillationHead":
        """Set the mode; the teacher always stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    @property
    def unsharded_modules(self) -> list[nn.Module]:
        """The teacher, which follows the student."""
        return [self.teacher]

    def prepare_batch(self, batch: Batch) -> Batch:
        """Update the teacher in training, then return the batch as in masked reconstruction."""
        if self.training:
            self.update_teacher()
        return super().prepare_batch(batch)

    @torch.no_grad()
    @torch.compiler.disable
    def update_teacher(self) -> None:
        """Update the moving average; the first call copies the student."""
        assert isinstance(self.begun, Tensor)
        share = 1 - self.decay * self.begun.float()
        for mean, new in zip(tensors(self.teacher), tensors(self.student[0]), strict=True):
            if mean.is_floating_point():
                mean.lerp_(whole(new), share.to(mean.dtype))
            else:
                mean.copy_(whole(new))
        self.begun.fill_(True)

    def content(self, field: ModalityInput, patches: Patches) -> Float[Tensor, "b n p"]:
        """Return the teacher's features of every patch, computed from the whole input."""
        with torch.no_grad():
            return self.teacher(field).x

    def regression_target(self, x: Float[Tensor, "b k p"]) -> Float[Tensor, "b k p"]:
        """Return each token layer-normalized, in at least float32."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.layer_norm(x, x.shape[-1:])


def tensors(module: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers."""
    return [*module.parameters(), *module.buffers()]
