"""Masked reconstruction of images, video and audio."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.counter_rng import uniform
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.layer.masking import hide
from mmtx_cli.layer.query_decoder import QueryDecoder
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import (
    Batch,
    ModalityInput,
    Patches,
    Patchifier,
    Prediction,
    Streams,
    TokenIndex,
)

TARGETS = ("normalised", "raw")


class MaskedReconstructionHead(Head):
    """Reconstructs masked patches of ``modality`` from the visible patches, which are all its
    encoder sees (masked autoencoders, He et al. 2022; VideoMAE, Tong et al. 2022; AudioMAE, Huang
    et al. 2022), or with ``reads=[fused]`` from their fusion with the other modalities (masked
    multimodal modeling, Bachmann et al. 2022).

    The loss is the mean squared error over the masked patches. The statistics that normalize a
    recording include its masked patches; for spectrograms ``normalise="dataset"`` avoids this leak.
    """

    votes: ClassVar[bool] = False
    reads_one: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        patching: Mapping[str, Patchifier],
        modality: str,
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        mask_ratio: float = 0.75,
        masking: str | None = None,
        target: str = "normalised",
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
    ) -> None:
        """``reads`` defaults to the modality's own stream.

        ``mask_ratio`` of the patches are masked; with 1 the modality is absent and predicted from
        the others only. ``masking``: random, moment or tube (default: the encoder's own).
        ``target`` "normalised": each patch minus its mean, divided by its standard deviation (He et
        al. 2022, section 4.1); "raw": the encoder's input. ``depth`` is that of the decoder.
        """
        if modality not in streams:
            raise ValueError(
                f"modality: unknown modality {modality!r} (available: {list(streams)}); add an "
                f"encoder: encoder/{modality}=NAME"
            )
        super().__init__(dim, streams, [modality] if reads is None else reads, weight)
        if modality not in patching:
            raise ValueError(
                f"modality: the encoder of {modality!r} cannot encode a subset of the patches; "
                "use encoder/image=vit encoder.image.stem=patch, encoder/video=vit "
                "encoder.video.stem=patch, or encoder/audio=ast encoder.audio.stem=patch with "
                "encoder.audio.stride as its patch_size"
            )
        if not 0 < mask_ratio <= 1:
            raise ValueError(f"mask_ratio={mask_ratio} must be above 0 and at most 1")
        if mask_ratio == 1 and self.reads == (modality,):
            raise ValueError(
                "mask_ratio=1 leaves no patches to reconstruct from; set reads=[fused]"
            )
        if target not in TARGETS:
            raise ValueError(f"target={target!r} is not one of {', '.join(TARGETS)}")
        self.patching = patching[modality]
        self.masking = self.patching.maskings[0] if masking is None else masking
        if self.masking not in self.patching.maskings:
            raise ValueError(
                f"masking={masking!r}: this encoder supports {', '.join(self.patching.maskings)}"
            )
        self.modality, self.mask_ratio, self.target = modality, mask_ratio, target
        self.subject = (modality,)
        self.decoder = QueryDecoder(
            self.patching.width, dim, self.patching.numbers, depth, num_heads, mlp_ratio
        )

    @property
    def raw(self) -> tuple[str, ...]:
        """Modalities that the head masks."""
        return (self.modality,)

    def view(self, batch: Batch) -> Batch:
        """Return the batch with only the visible patches as input and the masked patches as
        targets.

        In evaluation, the masked patches of a sample are the same every time.
        """
        field = batch.inputs[self.modality]
        patches = self.patching.cut(field)
        shown, hidden = self.divided(patches, batch.keys)
        if shown:
            seen = replace(field, visible=shown)
        else:
            seen = ModalityInput(field.data, torch.zeros_like(field.mask))
        position = patches.position.expand(len(patches.x), -1, -1)
        targets = {
            "patches": self.wanted(hidden.of(self.content(field, patches))),
            "position": hidden.of(position),
            "hidden": hidden.mask,
        }
        return replace(batch, inputs={**batch.inputs, self.modality: seen}, targets=targets)

    def divided(
        self, patches: Patches, keys: Int[Tensor, " b"]
    ) -> tuple[TokenIndex | None, TokenIndex]:
        """Return the visible patches (None if all patches are masked) and the masked patches."""
        if self.mask_ratio == 1:
            every = torch.arange(patches.mask.shape[1], device=patches.mask.device)
            return None, TokenIndex(every.expand_as(patches.mask), patches.mask)
        scores = uniform(keys, patches.mask.shape[1], f"hidden {self.modality}")
        return hide(patches.mask, self.mask_ratio, self.masking, patches.places, scores)

    def count(self, batch: Batch) -> Int[Tensor, ""]:
        """Return the number of masked patches."""
        patches = self.patching.cut(batch.inputs[self.modality])
        return self.divided(patches, batch.keys)[1].mask.sum()

    def content(self, field: ModalityInput, patches: Patches) -> Float[Tensor, "b n p"]:
        """Return the content of every patch to predict."""
        return patches.x

    def wanted(self, x: Float[Tensor, "b k p"]) -> Float[Tensor, "b k p"]:
        """Return the regression target for patch contents."""
        if self.target == "raw":
            return x
        variance, mean = torch.var_mean(x, dim=2, keepdim=True)
        return (x - mean) / (variance + 1e-6).sqrt()

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["patches"]`` is [b, k, p], the reconstruction of the masked
        patches.
        """
        hidden = batch.targets["hidden"]
        told, error = self.told(streams, batch)
        total, count = (error * hidden).sum(), hidden.sum()
        loss = global_mean(total, count, shared=self.training)
        return Prediction(loss, {"patches": told, "count": count})

    def told(
        self, streams: Streams, batch: Batch
    ) -> tuple[Float[Tensor, "b k p"], Float[Tensor, "b k"]]:
        """Return the reconstruction of each masked patch and its mean squared error."""
        told = self.decoder(batch.targets["position"], *self.context(streams))
        return told, (told - batch.targets["patches"]).square().mean(dim=2)  # not in half precision

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``error`` [b], summed over the ``hidden`` [b] masked patches of each sample."""
        hidden = batch.targets["hidden"]
        _, error = self.told(streams, batch)
        return {"error": (error * hidden).sum(dim=1), "hidden": hidden.sum(dim=1)}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """Return the mean squared error over all masked patches; samples without any are not
        scored.
        """
        error, hidden = (
            np.array([float(output[name]) for (output,) in outputs]) for name in ("error", "hidden")
        )
        each = np.divide(error, hidden, out=np.full_like(error, np.nan), where=hidden > 0)

        def reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
            return {"mse": sums[..., 0] / np.maximum(sums[..., 1], 1)}

        scores = Scores({"mse": each}, np.stack([error, hidden], axis=1), reduce)
        return Evaluation([{"hidden": int(n)} for n in hidden], scores)
