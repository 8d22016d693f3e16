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

    votes: ClassVar[bool] = False
    reads_one: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = True
    embedded: tuple[str, ...] = ("embedding",)

    kept: str | None = None
    """Name of the target with precomputed teacher features; if set, the teacher is not run."""

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        modality: str,
        teacher: nn.Module | FrozenTeacher | str | None = None,
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        kind: str = "feature",
        teacher_width: int | None = None,
    ) -> None:
        """``teacher`` is an encoder of the ``modality``, or the path of a trained model that has
        one; ``reads`` defaults to the modality's own stream.

        The teacher is not saved with the model: a trained model has only ``teacher_width``.
        """
        if modality not in streams:
            raise ValueError(
                f"modality: unknown modality {modality!r} (available: {list(streams)}); add an "
                f"encoder: encoder/{modality}=NAME"
            )
        super().__init__(dim, streams, [modality] if reads is None else reads, weight)
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} is not one of {', '.join(KINDS)}")
        if teacher is None and teacher_width is None:
            raise ValueError("teacher: not set; give a trained model or an encoder")
        self.modality, self.kind = modality, kind
        self.subject = (modality,)
        assert not isinstance(teacher, str), "a path is loaded before the head is built"
        self.teacher = FrozenTeacher(teacher) if isinstance(teacher, nn.Module) else teacher
        if self.teacher is not None:
            width = self.teacher.model.pooled_width()
            if teacher_width not in (None, width):
                raise ValueError(f"teacher_width={teacher_width}, but the teacher's is {width}")
            teacher_width = width
        self.teacher_width = int(teacher_width or 0)
        self.project = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.teacher_width))

    def portable(self) -> dict[str, Any]:
        """Return the teacher's width, to rebuild the head without the teacher."""
        return {"teacher_width": self.teacher_width}

    @property
    def raw(self) -> tuple[str, ...]:
        """Modalities that the teacher reads."""
        return (self.modality,) if self.teacher is not None and not self.kept else ()

    def taught(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return the teacher's feature vector of each sample."""
        assert self.teacher is not None
        return self.teacher.run(lambda encoder: encoder.pooled_features(field), field.data.device)

    def told(self, streams: Streams) -> Float[Tensor, "b c"]:
        """Return the projected mean of the tokens that the head reads."""
        return self.project(masked_mean(*self.context(streams)))

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["embedding"]`` is [b, c], in the teacher's feature space."""
        told = self.told(streams)
        if self.teacher is None:
            return Prediction(None, {"embedding": told})
        field = batch.inputs[self.modality]
        there = self.present(streams) & field.mask.any(dim=1)
        if self.kept:
            taught = batch.targets[self.kept]
            there = there & ~taught.isnan().any(dim=1)
            taught = taught.nan_to_num()
        else:
            taught = self.taught(field)
        whole = told.to(torch.promote_types(told.dtype, torch.float32))
        if self.kind == "feature":
            each, count = (1 - F.cosine_similarity(whole, taught, dim=1)) * there, there.sum()
        else:
            each, count = self.relations(whole, taught, there)
        loss = global_mean(each.sum(), count, shared=self.training)
        return Prediction(loss, {"embedding": told, "count": count})

    def relations(
        self, told: Float[Tensor, "b c"], taught: Float[Tensor, "b c"], there: Bool[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b g"], Int[Tensor, ""]]:
        """Return the Huber loss of the distances to the samples of all processes, and the number of
        pairs.
        """
        shared = self.training
        everyone = gather(there, shared)
        pairs = there[:, None] & everyone[None, :]
        mine, theirs = (relative_distances(x, pairs, shared) for x in (told, taught))
        return F.smooth_l1_loss(mine, theirs, reduction="none") * pairs, pairs.sum()

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``embedding`` [b, c], in the teacher's feature space."""
        return {"embedding": self.told(streams)}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """Return no metrics: the teacher is not available in evaluation."""
        return unscored(samples)


def relative_distances(
    x: Float[Tensor, "b c"], pairs: Bool[Tensor, "b g"], shared: bool
) -> Float[Tensor, "b g"]:
    """Return the distances to the samples of all processes, divided by the mean over all pairs."""
    squared = (x[:, None] - gather(x, shared)[None]).square().sum(dim=2)
    apart = pairs & (squared > 0)  # the square root has no gradient at zero
    distance = torch.where(apart, squared.clamp(min=1e-12).sqrt(), 0.0)
    total = gather(distance.sum()[None], shared).sum()
    count = gather(apart.sum()[None], shared).sum()
    return distance / (total / count.clamp(min=1)).clamp(min=1e-12)
