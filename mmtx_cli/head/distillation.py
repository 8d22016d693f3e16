"""Feature distillation: match the features of a frozen teacher encoder."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import gather, global_mean
from mmtx_cli.head.base import Detokenizer, Evaluation, Head, unscored
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.frozen_teacher import FrozenTeacher
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import Batch, ModalityInput, Prediction, Streams

KINDS = ("feature", "relation")


class DistillationHead(Head):
    """Matches the features of a frozen teacher that encodes one modality to one vector per sample.

    ``kind="feature"``: cosine distance between a projection of what the head reads and the
    teacher's vector (FitNets, Romero et al. 2015, with the cosine instead of the L2 distance).
    ``kind="relation"``: match the pairwise distances between samples, each divided by their mean
    (relational knowledge distillation, Park et al. 2019, eq. 5-6).
    """

    traits: ClassVar[HeadTraits] = HeadTraits(late_fusion=False, unimodal=True, needs_teacher=True)
    embedding_outputs: tuple[str, ...] = ("embedding",)

    cached_target: str | None = None
    """Name of the target with precomputed teacher features; if set, the teacher is not run."""

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        modality: str,
        teacher: nn.Module | FrozenTeacher | str | None = None,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        kind: str = "feature",
        teacher_width: int | None = None,
    ) -> None:
        """``teacher`` is an encoder of the ``modality``, or the path of a trained model that has
        one; ``streams`` defaults to the modality's own stream.

        The teacher is not saved with the model: a trained model has only ``teacher_width``.
        """
        if modality not in available:
            raise ValueError(
                f"modality: unknown modality {modality!r} (available: {list(available)}); add an "
                f"encoder: encoder/{modality}=NAME"
            )
        super().__init__(dim, available, [modality] if streams is None else streams, weight)
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} is not one of {', '.join(KINDS)}")
        if teacher is None and teacher_width is None:
            raise ValueError("teacher: not set; give a trained model or an encoder")
        self.modality, self.kind = modality, kind
        self.required_modalities = (modality,)
        assert not isinstance(teacher, str), "a path is loaded before the head is built"
        self.teacher = FrozenTeacher(teacher) if isinstance(teacher, nn.Module) else teacher
        if self.teacher is not None:
            width = self.teacher.model.pooled_width()
            if teacher_width not in (None, width):
                raise ValueError(f"teacher_width={teacher_width}, but the teacher's is {width}")
            teacher_width = width
        self.teacher_width = int(teacher_width or 0)
        self.project = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.teacher_width))

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return the teacher's width, to rebuild the head without the teacher."""
        return {"teacher_width": self.teacher_width}

    @property
    def raw_modalities(self) -> tuple[str, ...]:
        """Modalities that the teacher reads."""
        return (self.modality,) if self.teacher is not None and not self.cached_target else ()

    def teacher_features(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return the teacher's feature vector of each sample."""
        assert self.teacher is not None
        return self.teacher.run(lambda encoder: encoder.pooled_features(field), field.data.device)

    def student_features(self, streams: Streams) -> Float[Tensor, "b c"]:
        """Return the projected mean of the tokens that the head reads."""
        return self.project(masked_mean(*self.context(streams)))

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["embedding"]`` is [b, c], in the teacher's feature space."""
        embedding = self.student_features(streams)
        if self.teacher is None:
            return Prediction(None, {"embedding": embedding})
        field = batch.inputs[self.modality]
        valid = self.present(streams) & field.mask.any(dim=1)
        if self.cached_target:
            teacher_features = batch.targets[self.cached_target]
            valid = valid & ~teacher_features.isnan().any(dim=1)
            teacher_features = teacher_features.nan_to_num()
        else:
            teacher_features = self.teacher_features(field)
        student_features = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
        if self.kind == "feature":
            losses, count = (
                (1 - F.cosine_similarity(student_features, teacher_features, dim=1)) * valid,
                valid.sum(),
            )
        else:
            losses, count = self.relations(student_features, teacher_features, valid)
        loss = global_mean(losses.sum(), count, shared=self.training)
        return Prediction(loss, {"embedding": embedding, "count": count})

    def relations(
        self,
        student_features: Float[Tensor, "b c"],
        teacher_features: Float[Tensor, "b c"],
        valid: Bool[Tensor, " b"],
    ) -> tuple[Float[Tensor, "b g"], Int[Tensor, ""]]:
        """Return the Huber loss of the distances to the samples of all processes, and the number of
        pairs.
        """
        shared = self.training
        all_valid = gather(valid, shared)
        pairs = valid[:, None] & all_valid[None, :]
        student_distances, teacher_distances = (
            relative_distances(x, pairs, shared) for x in (student_features, teacher_features)
        )
        return F.smooth_l1_loss(
            student_distances, teacher_distances, reduction="none"
        ) * pairs, pairs.sum()

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``embedding`` [b, c], in the teacher's feature space."""
        return {"embedding": self.student_features(streams)}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return no metrics: the teacher is not available in evaluation."""
        return unscored(samples)


def relative_distances(
    x: Float[Tensor, "b c"], pairs: Bool[Tensor, "b g"], shared: bool
) -> Float[Tensor, "b g"]:
    """Return the distances to the samples of all processes, divided by the mean over all pairs."""
    squared = (x[:, None] - gather(x, shared)[None]).square().sum(dim=2)
    nonzero = pairs & (squared > 0)  # the square root has no gradient at zero
    distance = torch.where(nonzero, squared.clamp(min=1e-12).sqrt(), 0.0)
    total = gather(distance.sum()[None], shared).sum()
    count = gather(nonzero.sum()[None], shared).sum()
    return distance / (total / count.clamp(min=1)).clamp(min=1e-12)
