"""Single-label and multi-label classification."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import SHOWN, Detokenizer, Evaluation, Head
from mmtx_cli.head.class_report import class_evaluation, class_predictions, likeliest
from mmtx_cli.layer.readout import Readout
from mmtx_cli.metric.classification import multilabel_scores
from mmtx_cli.types import IGNORE_INDEX, Batch, Prediction, Streams


class ClassificationHead(Head):
    """Mean-pools a stream's tokens, then layer norm and a linear layer; the scores of several
    streams are combined as set by the fusion.

    The loss is the cross-entropy, or the binary cross-entropy per class if ``multi_label``.
    """

    needs: tuple[str, ...] = ("label",)
    predicts: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        label_names: Sequence[str],
        multi_label: bool = False,
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        vote: str = "mean",
    ) -> None:
        """``vote``: see ``layer/score_fusion.py``; set by a decision-level fusion."""
        super().__init__(dim, streams, reads, weight)
        self.label_names = list(label_names)
        self.multi_label = multi_label
        self.label_smoothing = label_smoothing
        self.figures = () if multi_label else ("accuracy",)
        self.readout = Readout(dim, self.reads, len(label_names), dropout, vote)

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["logits"]`` is [b, classes], ``outputs["count"]`` the labeled
        samples.
        """
        logits = self.readout(streams)
        target = batch.targets.get("label")
        if target is None:
            return Prediction(None, {"logits": logits})
        known = self.known(target)
        loss = global_mean(self.loss(logits, target, known), known.sum(), shared=self.training)
        outputs = {"logits": logits, "count": known.sum()}
        if self.training or self.multi_label:
            return Prediction(loss, outputs)
        right = (logits.argmax(dim=1) == target).sum()  # IGNORE_INDEX is never predicted
        return Prediction(loss, outputs, {"accuracy": right / known.sum().clamp(min=1)})

    def known(self, target: Tensor) -> Bool[Tensor, " b"]:
        """Return which samples have a label."""
        return (target[:, 0] if self.multi_label else target) != IGNORE_INDEX

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``logits`` [b, classes]."""
        return {"logits": self.readout(streams)}

    def loss(
        self, logits: Float[Tensor, "b c"], target: Tensor, known: Bool[Tensor, " b"]
    ) -> Float[Tensor, ""]:
        """Return the loss summed over the labeled samples."""
        logits = logits.float()
        if self.multi_label:
            each = F.binary_cross_entropy_with_logits(
                logits, target.clamp(min=0).float(), reduction="none"
            )
            return (each.mean(dim=1) * known).sum()
        smoothing = self.label_smoothing if self.training else 0.0
        return F.cross_entropy(
            logits, target, ignore_index=IGNORE_INDEX, label_smoothing=smoothing, reduction="sum"
        )

    def probabilities(self, outputs: Sequence[Mapping[str, Tensor]]) -> Float[np.ndarray, "n c"]:
        """Return the class probabilities; independent of each other if ``multi_label``."""
        logits = torch.stack([output["logits"] for output in outputs]).float()
        return (logits.sigmoid() if self.multi_label else logits.softmax(dim=1)).numpy()

    def predictions(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        text: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Return the most likely class; if ``multi_label``, all classes with a probability of at
        least 0.5.
        """
        probabilities = self.probabilities(outputs)
        if not self.multi_label:
            return class_predictions(probabilities, self.label_names, top)
        return [self.labels(own, top) for own in probabilities]

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """Return accuracy, F1 and calibration, and a row per sample with the top 5 classes.

        If ``multi_label``, return F1 and exact match instead.
        """
        first = [output for (output,) in outputs]
        probabilities = self.probabilities(first)
        if not self.multi_label:
            return class_evaluation(probabilities, samples, self.label_names)
        index = {name: i for i, name in enumerate(self.label_names)}
        targets = np.zeros(probabilities.shape, dtype=bool)
        for row, sample in enumerate(samples):
            targets[row, [index[name] for name in labels_of(sample)]] = True
        rows = [
            {**row, "label": labels_of(sample)}
            for row, sample in zip(self.predictions(first, text), samples, strict=True)
        ]
        return Evaluation(rows, multilabel_scores(probabilities, targets))

    def labels(self, probabilities: Float[np.ndarray, " c"], top: int) -> dict[str, Any]:
        """Return the predicted labels of one sample; the most likely labels listed include them
        all.
        """
        found = [n for n, p in zip(self.label_names, probabilities, strict=True) if p >= 0.5]
        named = likeliest(probabilities, self.label_names, max(top, len(found)))
        return {"prediction": found, "top": named}


def labels_of(sample: Sample) -> list[str]:
    """Return the labels of a sample as a list."""
    if sample.label is None:
        return []
    return list(sample.label) if isinstance(sample.label, tuple) else [str(sample.label)]
