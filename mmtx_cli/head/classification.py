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
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.readout import Readout
from mmtx_cli.metric.calibration import calibration_scores
from mmtx_cli.metric.classification import classification_scores, multilabel_scores
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import IGNORE_INDEX, Batch, Prediction, Streams


class ClassificationHead(Head):
    """Mean-pools a stream's tokens, then layer norm and a linear layer; the scores of several
    streams are combined as set by the fusion.

    The loss is the cross-entropy, or the binary cross-entropy per class if ``multi_label``.
    """

    targets: tuple[str, ...] = ("label",)
    traits: ClassVar[HeadTraits] = HeadTraits(predicts=True)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        label_names: Sequence[str],
        multi_label: bool = False,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        vote: str = "mean",
    ) -> None:
        """``vote``: see ``layer/score_fusion.py``; set by a decision-level fusion."""
        super().__init__(dim, available, streams, weight)
        self.label_names = list(label_names)
        self.multi_label = multi_label
        self.label_smoothing = label_smoothing
        self.metrics = () if multi_label else ("accuracy",)
        self.readout = Readout(dim, self.streams, len(label_names), dropout, vote)

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["logits"]`` is [b, classes], ``outputs["count"]`` the labeled
        samples.
        """
        logits = self.readout(streams)
        target = batch.targets.get("label")
        if target is None:
            return Prediction(None, {"logits": logits})
        known = self.has_target(target)
        loss = global_mean(self.loss(logits, target, known), known.sum(), shared=self.training)
        outputs = {"logits": logits, "count": known.sum()}
        if self.training or self.multi_label:
            return Prediction(loss, outputs)
        correct = (logits.argmax(dim=1) == target).sum()  # IGNORE_INDEX is never predicted
        return Prediction(loss, outputs, {"accuracy": correct / known.sum().clamp(min=1)})

    def has_target(self, target: Tensor) -> Bool[Tensor, " b"]:
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
            losses = F.binary_cross_entropy_with_logits(
                logits, target.clamp(min=0).float(), reduction="none"
            )
            return (losses.mean(dim=1) * known).sum()
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
        tokenizer: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Return the most likely class; if ``multi_label``, all classes with a probability of at
        least 0.5.
        """
        probabilities = self.probabilities(outputs)
        if not self.multi_label:
            return class_predictions(probabilities, self.label_names, top)
        return [self.labels(probs, top) for probs in probabilities]

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
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
            for row, sample in zip(self.predictions(first, tokenizer), samples, strict=True)
        ]
        return Evaluation(rows, multilabel_scores(probabilities, targets))

    def labels(self, probabilities: Float[np.ndarray, " c"], top: int) -> dict[str, Any]:
        """Return the predicted labels of one sample; the most likely labels listed include them
        all.
        """
        predicted = [n for n, p in zip(self.label_names, probabilities, strict=True) if p >= 0.5]
        likely = likeliest(probabilities, self.label_names, max(top, len(predicted)))
        return {"prediction": predicted, "top": likely}


def labels_of(sample: Sample) -> list[str]:
    """Return the labels of a sample as a list."""
    if sample.label is None:
        return []
    return list(sample.label) if isinstance(sample.label, tuple) else [str(sample.label)]


def class_evaluation(
    probabilities: Float[np.ndarray, "n c"], samples: Sequence[Sample], label_names: Sequence[str]
) -> Evaluation:
    """Return accuracy, F1 and calibration, and a row per sample with the top 5 classes."""
    index = {name: i for i, name in enumerate(label_names)}
    labels = np.array([index[str(sample.label)] for sample in samples])
    predictions = probabilities.argmax(axis=1)
    scores = Scores.merged(
        classification_scores(probabilities, labels),
        calibration_scores(probabilities.max(axis=1), predictions == labels),
    )
    rows = [
        {
            **row,
            "label": label_names[label],
            "scores": {"probability_of_label": float(probs[label])},
        }
        for row, probs, label in zip(
            class_predictions(probabilities, label_names), probabilities, labels, strict=True
        )
    ]
    return Evaluation(rows, scores)


def class_predictions(
    probabilities: Float[np.ndarray, "n c"], label_names: Sequence[str], count: int = SHOWN
) -> list[dict[str, Any]]:
    """Return the most likely class of each sample, and the ``count`` most likely with
    probabilities.
    """
    top_classes = [likeliest(probs, label_names, count) for probs in probabilities]
    return [{"prediction": top[0][0], "probability": top[0][1], "top": top} for top in top_classes]


def likeliest(
    probabilities: Float[np.ndarray, " c"], label_names: Sequence[str], count: int = SHOWN
) -> list[list[Any]]:
    """Return the most likely classes with their probabilities; ties are broken by order."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [[label_names[i], float(probabilities[i])] for i in order]
