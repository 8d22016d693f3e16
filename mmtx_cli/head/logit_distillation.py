"""Logit distillation: classification with a teacher's soft labels."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.classification import ClassificationHead
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.frozen_teacher import FrozenTeacher
from mmtx_cli.types import Batch, Prediction, Streams


class LogitDistillationHead(ClassificationHead):
    """Classifies with the soft labels of a trained classifier (Hinton, Vinyals and Dean 2015).

    The loss is the cross-entropy with the teacher's probabilities, both at ``temperature`` and
    multiplied by its square, plus ``label_weight`` times the cross-entropy with the labels (section
    2).
    """

    targets: tuple[str, ...] = ()
    traits: ClassVar[HeadTraits] = HeadTraits(predicts=True, needs_teacher=True)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        label_names: Sequence[str],
        multi_label: bool = False,
        teacher: FrozenTeacher | str | None = None,
        streams: Sequence[str] | None = None,
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
            dim,
            available,
            label_names,
            multi_label,
            streams,
            weight,
            label_smoothing,
            dropout,
            vote,
        )
        if multi_label:
            raise ValueError("logit distillation does not support samples with several labels")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        if label_weight < 0:
            raise ValueError(f"label_weight={label_weight} must be at least 0")
        self.temperature, self.label_weight = temperature, label_weight
        self.targets = ("label",) if label_weight else ()
        self.metrics = ("accuracy",) if label_weight else ()
        self.teacher = teacher if isinstance(teacher, FrozenTeacher) else None
        if self.teacher:
            self.teacher_head = classification_head_name(self.teacher.model)
            self.teacher_classes = class_indices(self.label_names, self.teacher.label_names)

    @property
    def raw_modalities(self) -> tuple[str, ...]:
        """Modalities that the teacher reads."""
        return tuple(self.teacher.model.encoder) if self.teacher else ()

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["logits"]`` is [b, classes]."""
        if self.teacher is None:
            return super().forward(streams, batch)
        logits = self.readout(streams)
        dtype = torch.promote_types(logits.dtype, torch.float32)
        scaled_logits, factor = logits.to(dtype) / self.temperature, self.temperature**2
        teacher_probabilities = (self.teacher_logits(batch) / self.temperature).softmax(dim=1)
        present = self.present(streams)
        losses = (
            F.cross_entropy(scaled_logits, teacher_probabilities, reduction="none")
            * factor
            * present
        )
        count = present.sum()
        loss = global_mean(losses.sum(), count, shared=self.training)
        outputs, metrics = {"logits": logits, "count": count}, {}
        if self.label_weight:
            label_prediction = super().forward(streams, batch)
            assert label_prediction.loss is not None, "the batch has no labels"
            loss, metrics = (
                loss + self.label_weight * label_prediction.loss,
                label_prediction.metrics,
            )
        return Prediction(loss, outputs, metrics)

    def count(self, batch: Batch) -> None:
        """Return None: labels and teacher predictions have different counts."""

    def teacher_logits(self, batch: Batch) -> Float[Tensor, "b c"]:
        """Return the teacher's logits for this head's classes."""
        assert self.teacher is not None
        device = next(iter(batch.inputs.values())).data.device
        classes = torch.tensor(self.teacher_classes, device=device)
        return self.teacher.run(
            lambda model: model.predict(batch, [self.teacher_head])[self.teacher_head]["logits"][
                :, classes
            ],
            device,
        )


def classification_head_name(model: Any) -> str:
    """Return the name of the teacher's single-label classification head.

    Raises ValueError if there is none.
    """
    for name, head in model.head.items():
        if isinstance(head, ClassificationHead) and not head.multi_label:
            return str(name)
    raise ValueError("teacher: has no single-label classification head")


def class_indices(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the index of each class in the teacher.

    Raises ValueError for classes that the teacher does not have.
    """
    index: Mapping[str, Any] = {name: i for i, name in enumerate(known)}
    if unknown := [name for name in names if name not in index]:
        raise ValueError(f"teacher: has no class {', '.join(map(repr, unknown[:5]))}")
    return [index[name] for name in names]
