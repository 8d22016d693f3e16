"""Masked reconstruction of images, video and audio."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.counter_rng.tensors import uniform
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.masking import split_patches
from mmtx_cli.layer.query_decoder import QueryDecoder
from mmtx_cli.metric.pretraining import reconstruction_scores
from mmtx_cli.types import (
    Batch,
    ModalityInput,
    Patches,
    Patchifier,
    Prediction,
    Streams,
    TokenIndex,
)

TARGETS = ("normalized", "raw")


class MaskedReconstructionHead(Head):
    """Reconstructs masked patches of ``modality`` from the visible patches, which are all its
    encoder sees (masked autoencoders, He et al. 2022; VideoMAE, Tong et al. 2022; AudioMAE, Huang
    et al. 2022), or with ``streams=[fused]`` from their fusion with the other modalities (masked
    multimodal modeling, Bachmann et al. 2022).

    The loss is the mean squared error over the masked patches. The statistics that normalize a
    recording include its masked patches; for spectrograms ``normalize="dataset"`` avoids this leak.
    """

    traits: ClassVar[HeadTraits] = HeadTraits(late_fusion=False, unimodal=True)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        patching: Mapping[str, Patchifier],
        modality: str,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        mask_ratio: float = 0.75,
        masking: str | None = None,
        target: str = "normalized",
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
    ) -> None:
        """``streams`` defaults to the modality's own stream.

        ``mask_ratio`` of the patches are masked; with 1 the modality is absent and predicted from
        the others only. ``masking``: random, moment or tube (default: the encoder's own).
        ``target`` "normalized": each patch minus its mean, divided by its standard deviation (He et
        al. 2022, section 4.1); "raw": the encoder's input. ``depth`` is that of the decoder.
        """
        if modality not in available:
            raise ValueError(
                f"modality: unknown modality {modality!r} (available: {list(available)}); add an "
                f"encoder: encoder/{modality}=NAME"
            )
        super().__init__(dim, available, [modality] if streams is None else streams, weight)
        if modality not in patching:
            raise ValueError(
                f"modality: the encoder of {modality!r} cannot encode a subset of the patches; "
                "use encoder/image=vit encoder.image.stem=patch, encoder/video=vit "
                "encoder.video.stem=patch, or encoder/audio=ast encoder.audio.stem=patch with "
                "encoder.audio.stride as its patch_size"
            )
        if not 0 < mask_ratio <= 1:
            raise ValueError(f"mask_ratio={mask_ratio} must be above 0 and at most 1")
        if mask_ratio == 1 and self.streams == (modality,):
            raise ValueError(
                "mask_ratio=1 leaves no patches to reconstruct from; set streams=[fused]"
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
        self.required_modalities = (modality,)
        self.decoder = QueryDecoder(
            self.patching.width, dim, self.patching.patch_values, depth, num_heads, mlp_ratio
        )

    @property
    def raw_modalities(self) -> tuple[str, ...]:
        """Modalities that the head masks."""
        return (self.modality,)

    def prepare_batch(self, batch: Batch) -> Batch:
        """Return the batch with only the visible patches as input and the masked patches as
        targets.

        In evaluation, the masked patches of a sample are the same every time.
        """
        field = batch.inputs[self.modality]
        patches = self.patching.cut_patches(field)
        visible, hidden = self.split_patches(patches, batch.keys)
        if visible:
            visible_field = replace(field, visible=visible)
        else:
            visible_field = ModalityInput(field.data, torch.zeros_like(field.mask))
        position = patches.position.expand(len(patches.x), -1, -1)
        targets = {
            "patches": self.regression_target(hidden.of(self.content(field, patches))),
            "position": hidden.of(position),
            "hidden": hidden.mask,
        }
        return replace(
            batch, inputs={**batch.inputs, self.modality: visible_field}, targets=targets
        )

    def split_patches(
        self, patches: Patches, keys: Int[Tensor, " b"]
    ) -> tuple[TokenIndex | None, TokenIndex]:
        """Return the visible patches (None if all patches are masked) and the masked patches."""
        if self.mask_ratio == 1:
            positions = torch.arange(patches.mask.shape[1], device=patches.mask.device)
            return None, TokenIndex(positions.expand_as(patches.mask), patches.mask)
        scores = uniform(keys, patches.mask.shape[1], f"hidden {self.modality}")
        return split_patches(
            patches.mask, self.mask_ratio, self.masking, patches.patches_per_step, scores
        )

    def count(self, batch: Batch) -> Int[Tensor, ""]:
        """Return the number of masked patches."""
        patches = self.patching.cut_patches(batch.inputs[self.modality])
        return self.split_patches(patches, batch.keys)[1].mask.sum()

    def content(self, field: ModalityInput, patches: Patches) -> Float[Tensor, "b n p"]:
        """Return the content of every patch to predict."""
        return patches.x

    def regression_target(self, x: Float[Tensor, "b k p"]) -> Float[Tensor, "b k p"]:
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
        reconstruction, error = self.reconstruct(streams, batch)
        total, count = (error * hidden).sum(), hidden.sum()
        loss = global_mean(total, count, shared=self.training)
        return Prediction(loss, {"patches": reconstruction, "count": count})

    def reconstruct(
        self, streams: Streams, batch: Batch
    ) -> tuple[Float[Tensor, "b k p"], Float[Tensor, "b k"]]:
        """Return the reconstruction of each masked patch and its mean squared error."""
        told = self.decoder(batch.targets["position"], *self.context(streams))
        return told, (told - batch.targets["patches"]).square().mean(dim=2)  # not in half precision

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``error`` [b], summed over the ``hidden`` [b] masked patches of each sample."""
        hidden = batch.targets["hidden"]
        _, error = self.reconstruct(streams, batch)
        return {"error": (error * hidden).sum(dim=1), "hidden": hidden.sum(dim=1)}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return the mean squared error over all masked patches; samples without any are not
        scored.
        """
        error, hidden = (
            np.array([float(output[name]) for (output,) in outputs]) for name in ("error", "hidden")
        )
        return Evaluation(
            [{"hidden": int(n)} for n in hidden], reconstruction_scores(error, hidden)
        )
