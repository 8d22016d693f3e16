"""Self-distillation: the teacher is the average of what the student was."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.head.masked_reconstruction import MaskedReconstructionHead
from mmtx_cli.layer.query_decoder import QueryDecoder
from mmtx_cli.types import Batch, Field, Patches, Patching


class SelfDistillationHead(MaskedReconstructionHead):
    """The encoder sees a few patches, and what its own moving average makes of the whole input is
    told at the others (data2vec, Baevski et al. 2022).

    What is to be told is the average's last layer, each token normalised: without, telling the
    same of everything would do.
    """

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        patching: Mapping[str, Patching],
        encoders: Mapping[str, Any],
        modality: str,
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        mask_ratio: float = 0.6,
        masking: str | None = None,
        decay: float = 0.999,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
    ) -> None:
        """``decay`` is the average's, a batch. The other arguments are those of masked
        reconstruction.
        """
        super().__init__(
            dim,
            streams,
            patching,
            modality,
            reads,
            weight,
            mask_ratio,
            masking,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
        )
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} is not from 0 to below 1")
        self.decay = decay
        self.student = (encoders[modality],)  # a tuple: it is no part of the head
        self.teacher = copy.deepcopy(self.student[0]).requires_grad_(False).eval()
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        self.decoder = QueryDecoder(
            self.patching.width, dim, self.teacher.width, depth, num_heads, mlp_ratio
        )

    def train(self, mode: bool = True) -> "SelfDistillationHead":
        """The teacher never drops anything."""
        super().train(mode)
        self.teacher.eval()
        return self

    def view(self, batch: Batch) -> Batch:
        """As in masked reconstruction; before, the teacher follows the student."""
        if self.training:
            self.follow()
        return super().view(batch)

    @torch.no_grad()
    @torch.compiler.disable
    def follow(self) -> None:
        """Move the average towards the student; the first time, all the way."""
        assert isinstance(self.begun, Tensor)
        share = 1 - self.decay * self.begun.float()
        for mean, new in zip(tensors(self.teacher), tensors(self.student[0]), strict=True):
            if mean.is_floating_point():
                mean.lerp_(new, share.to(mean.dtype))
            else:
                mean.copy_(new)
        self.begun.fill_(True)

    def content(self, field: Field, patches: Patches) -> Float[Tensor, "b n p"]:
        """What the teacher makes of every patch of the whole input."""
        with torch.no_grad():
            return self.teacher(field).x

    def wanted(self, x: Float[Tensor, "b k p"]) -> Float[Tensor, "b k p"]:
        """Each token normalised, in full precision."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.layer_norm(x, x.shape[-1:])


def tensors(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers."""
    return [*module.parameters(), *module.buffers()]
