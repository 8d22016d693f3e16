"""Logit distillation: classification with a teacher's soft labels."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.classification import ClassificationHead
from mmtx_cli.layer.frozen_teacher import FrozenTeacher
from mmtx_cli.types import Batch, Prediction, Streams


class LogitDistillationHead(ClassificationHead):
    """Classifies with the soft labels of a trained classifier (Hinton, Vinyals and Dean 2015).

    The loss is the cross-entropy with the teacher's probabilities, both at ``temperature`` and
    multiplied by its square, plus ``label_weight`` times the cross-entropy with the labels (section
    2).
    """

    needs: tuple[str, ...] = ()
    needs_teacher: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        label_names: Sequence[str],
        multi_label: bool = False,
        teacher: FrozenTeacher | str | None = None,
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        temperature: float = 2.0,
        label_weight: float = 0.0,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        vote: str = "mean",
    ) -> None:
        """``teacher`` is the path of a trained classifier whose classes include these.

        Labels are not needed if ``label_weight`` is 0. The teacher is not saved with the model.
        """
        super().__init__(
            dim, streams, label_names, multi_label, reads, weight, label_smoothing, dropout, vote
        )
        if multi_label:
            raise ValueError("logit distillation does not support samples with several labels")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        if label_weight < 0:
            raise ValueError(f"label_weight={label_weight} must be at least 0")
        self.temperature, self.label_weight = temperature, label_weight
        self.needs = ("label",) if label_weight else ()
        self.figures = ("accuracy",) if label_weight else ()
        self.teacher = teacher if isinstance(teacher, FrozenTeacher) else None
        if self.teacher:
            self.asked = classifier(self.teacher.model)
            self.classes = numbers(self.label_names, self.teacher.label_names)

    @property
    def raw(self) -> tuple[str, ...]:
        """Modalities that the teacher reads."""
        return tuple(self.teacher.model.encoder) if self.teacher else ()

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["logits"]`` is [b, classes]."""
        if self.teacher is None:
            return super().forward(streams, batch)
        logits = self.readout(streams)
        dtype = torch.promote_types(logits.dtype, torch.float32)
        soft, hot = logits.to(dtype) / self.temperature, self.temperature**2
        taught = (self.said(batch) / self.temperature).softmax(dim=1)
        there = self.present(streams)
        each = F.cross_entropy(soft, taught, reduction="none") * hot * there
        count = there.sum()
        loss = global_mean(each.sum(), count, shared=self.training)
        outputs, figures = {"logits": logits, "count": count}, {}
        if self.label_weight:
            hard = super().forward(streams, batch)
            assert hard.loss is not None, "the batch has no labels"
            loss, figures = loss + self.label_weight * hard.loss, hard.metrics
        return Prediction(loss, outputs, figures)

    def count(self, batch: Batch) -> None:
        """Return None: labels and teacher predictions have different counts."""

    def said(self, batch: Batch) -> Float[Tensor, "b c"]:
        """Return the teacher's logits for this head's classes."""
        assert self.teacher is not None
        device = next(iter(batch.inputs.values())).data.device
        classes = torch.tensor(self.classes, device=device)
        return self.teacher.run(
            lambda model: model.predict(batch, [self.asked])[self.asked]["logits"][:, classes],
            device,
        )


def classifier(model: Any) -> str:
    """Return the name of the teacher's single-label classification head.

    Raises ValueError if there is none.
    """
    for name, head in model.head.items():
        if isinstance(head, ClassificationHead) and not head.multi_label:
            return str(name)
    raise ValueError("teacher: has no single-label classification head")


def numbers(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the index of each class in the teacher.

    Raises ValueError for classes that the teacher does not have.
    """
    at: Mapping[str, Any] = {name: i for i, name in enumerate(known)}
    if unknown := [name for name in names if name not in at]:
        raise ValueError(f"teacher: has no class {', '.join(map(repr, unknown[:5]))}")
    return [at[name] for name in names]
