"""Distillation: what a frozen teacher makes of a modality, the model learns to make too."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import gather, global_mean
from mmtx_cli.head.base import Detokenizer, Evaluation, Head, unscored
from mmtx_cli.layer.frozen_teacher import Frozen
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import Batch, Field, Prediction, Streams

KINDS = ("feature", "relation")


class DistillationHead(Head):
    """A teacher that is an encoder of one modality says one vector a sample.

    ``kind="feature"``: a projection of what the head reads points the same way (FitNets, Romero
    et al. 2015, with the cosine in place of the distance). ``kind="relation"``: the distances
    between the samples are those between the teacher's vectors, each in units of their mean
    (relational distillation, Park et al. 2019, eq. 5-6).
    """

    votes: ClassVar[bool] = False
    reads_one: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = True
    embedded: tuple[str, ...] = ("embedding",)

    kept: str | None = None
    """The target with what the teacher says, where that was kept before: it is not run then."""

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        modality: str,
        teacher: nn.Module | Frozen | str | None = None,
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        kind: str = "feature",
        teacher_width: int | None = None,
    ) -> None:
        """``teacher`` is an encoder of the ``modality``, or the path of a trained model that has
        one; ``reads`` defaults to the modality's own stream.

        The teacher is not kept with the model: a trained one has none, and ``teacher_width`` in
        its place.
        """
        if modality not in streams:
            raise ValueError(
                f"modality: there is no {modality!r} (there are {list(streams)}); add an encoder: "
                f"encoder/{modality}=NAME"
            )
        super().__init__(dim, streams, [modality] if reads is None else reads, weight)
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} is none of {', '.join(KINDS)}")
        if teacher is None and teacher_width is None:
            raise ValueError("teacher: there is none; name a trained model, or an encoder")
        self.modality, self.kind = modality, kind
        self.subject = (modality,)
        assert not isinstance(teacher, str), "what builds the model knows what a path holds"
        self.teacher = Frozen(teacher) if isinstance(teacher, nn.Module) else teacher
        if self.teacher is not None:
            width = self.teacher.model.summary_width()
            if teacher_width not in (None, width):
                raise ValueError(f"teacher_width={teacher_width}, but the teacher's is {width}")
            teacher_width = width
        self.teacher_width = int(teacher_width or 0)
        self.project = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.teacher_width))

    def portable(self) -> dict[str, Any]:
        """What is known of the teacher where it is not there any more."""
        return {"teacher_width": self.teacher_width}

    @property
    def raw(self) -> tuple[str, ...]:
        """What the teacher looks at."""
        return (self.modality,) if self.teacher is not None and not self.kept else ()

    def taught(self, field: Field) -> Float[Tensor, "b c"]:
        """What the teacher says of each sample."""
        assert self.teacher is not None
        return self.teacher.ask(lambda encoder: encoder.summary(field), field.data.device)

    def told(self, streams: Streams) -> Float[Tensor, "b c"]:
        """The projected mean of what the head reads."""
        return self.project(masked_mean(*self.context(streams)))

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """``outputs["embedding"]`` is [b, c], as the teacher's."""
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
        """Huber loss of each pair's distances; the pairs are with the samples of all processes."""
        shared = self.training
        everyone = gather(there, shared)
        pairs = there[:, None] & everyone[None, :]
        mine, theirs = (relative_distances(x, pairs, shared) for x in (told, taught))
        return F.smooth_l1_loss(mine, theirs, reduction="none") * pairs, pairs.sum()

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """``embedding`` [b, c], as the teacher's."""
        return {"embedding": self.told(streams)}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """No figure: the teacher is not there any more."""
        return unscored(samples)


def relative_distances(
    x: Float[Tensor, "b c"], pairs: Bool[Tensor, "b g"], shared: bool
) -> Float[Tensor, "b g"]:
    """Distances from the samples of all processes, in units of their mean over all pairs."""
    squared = (x[:, None] - gather(x, shared)[None]).square().sum(dim=2)
    apart = pairs & (squared > 0)  # a root has no gradient at zero
    distance = torch.where(apart, squared.clamp(min=1e-12).sqrt(), 0.0)
    total = gather(distance.sum()[None], shared).sum()
    count = gather(apart.sum()[None], shared).sum()
    return distance / (total / count.clamp(min=1)).clamp(min=1e-12)
