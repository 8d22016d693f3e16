"""Probes of the frozen embeddings of a trained model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.errors import DataError
from mmtx_cli.head.base import Detokenizer, Evaluation
from mmtx_cli.head.eval_only import StreamHead
from mmtx_cli.metric.classification import classification_scores
from mmtx_cli.metric.knn import neighbor_classifier, neighbor_regression
from mmtx_cli.metric.linear_probe import linear_classifier, linear_regression
from mmtx_cli.metric.regression import regression_scores
from mmtx_cli.metric.scores import Scores

KINDS = ("linear", "knn")


class ProbeHead(StreamHead):
    """Fits probes that predict labels from the mean token of a stream, for each stream separately.

    ``linear`` is a logistic regression, or a ridge regression for numbers (Alain and Bengio 2016,
    ``metric/linear_probe.py``); ``knn`` is a weighted vote of the ``k`` nearest training samples by
    cosine (Wu et al. 2018, ``metric/knn.py``). A sample that lacks a stream gets the mean of the
    training samples.
    """

    targets: tuple[str, ...] = ("label",)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        label_names: Sequence[str],
        streams: Sequence[str] | None = None,
        kind: str = "both",
        k: int = 20,
        temperature: float = 0.07,
    ) -> None:
        """``streams`` defaults to every modality and the fused stream; ``kind``: linear, knn, both.

        ``temperature`` divides the cosines before the exponential that weights the votes.
        """
        super().__init__(dim, available, streams)
        if kind not in (*KINDS, "both"):
            raise ValueError(f"kind={kind!r} is not one of {', '.join(KINDS)}, both")
        if k < 1:
            raise ValueError(f"k={k}: must be at least 1")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature:g} must be above 0")
        self.kinds = KINDS if kind == "both" else (kind,)
        self.k, self.temperature = k, temperature
        self.label_names = list(label_names)
        self.training_inputs: dict[str, tuple[Tensor, Tensor]] = {}
        self.is_regression = False

    def examples(self, train: Sequence[Sample], test: Sequence[Sample]) -> list[Sample]:
        """Return the training samples that have a label.

        Raises:
            DataError: If no training sample has a label, a label has the wrong type, or an
                evaluated label does not occur in training.
        """
        labeled = [sample for sample in train if sample.label is not None]
        if not labeled:
            raise DataError("no row with split=train has a label to train the probe on")
        self.is_regression = isinstance(labeled[0].label, (int, float))
        kind = "a number" if self.is_regression else "one name"
        for sample in (*labeled, *test):
            if not isinstance(sample.label, (int, float) if self.is_regression else str):
                raise DataError(
                    f"sample {sample.id} (line {sample.line}): the probe expects {kind}, as in "
                    f"sample {labeled[0].id}, but the label is {sample.label!r}"
                )
        names = {sample.label for sample in labeled}
        for sample in () if self.is_regression else test:
            if sample.label not in names:
                raise DataError(
                    f"sample {sample.id} (line {sample.line}): no training row has the label "
                    f"{sample.label!r}"
                )
        return labeled

    def fit(self, outputs: Sequence[Mapping[str, Tensor]], examples: Sequence[Sample]) -> None:
        """Store the embeddings and labels of the training samples."""
        labels = self.label_tensor(examples)
        for name in self.streams:
            present = torch.tensor([bool(output[f"{name}_present"]) for output in outputs])
            if present.any():  # streams that no training sample has are not probed
                x = torch.stack([output[name] for output in outputs]).float()
                self.training_inputs[name] = x[present], labels[present]
        if not self.training_inputs:
            raise DataError(f"no training sample with a label has any of {', '.join(self.streams)}")

    def label_tensor(self, samples: Sequence[Sample]) -> Tensor:
        """Return the labels as numbers, or as class indices."""
        if self.is_regression:
            return torch.tensor([float(sample.label) for sample in samples])  # type: ignore[arg-type]
        index = {name: i for i, name in enumerate(self.label_names)}
        return torch.tensor([index[str(sample.label)] for sample in samples])

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return the metrics of every probe, such as ``image/linear/accuracy``."""
        truth = self.label_tensor(samples).numpy()
        parts: list[Scores] = []
        predictions: dict[str, list[Any]] = {}
        for name, (x, y) in self.training_inputs.items():
            mean = x.mean(dim=0)
            rows = [o[name] if o[f"{name}_present"] else mean for (o,) in outputs]
            for kind in self.kinds:
                output = self.probe(kind, x, y, torch.stack(rows).float()).numpy()
                scores = (regression_scores if self.is_regression else classification_scores)(
                    output, truth
                )
                parts.append(scores.prefixed(f"{name}/{kind}/"))
                predictions[f"{name}/{kind}"] = self.readable(output)
        row_predictions = [
            dict(zip(predictions, row, strict=True))
            for row in zip(*predictions.values(), strict=True)
        ]
        labels = [sample.label for sample in samples]
        result_rows = [
            {"label": label, "predictions": row}
            | ({"prediction": next(iter(row.values()))} if len(row) == 1 else {})
            for label, row in zip(labels, row_predictions, strict=True)
        ]
        return Evaluation(result_rows, Scores.merged(*parts))

    def probe(self, kind: str, x: Tensor, y: Tensor, test: Tensor) -> Tensor:
        """Return the predictions of a probe fitted on ``x``, ``y``: numbers [n] or probabilities
        [n, c].

        Args:
            kind: ``linear`` or ``knn``.
            x: Embeddings of the training samples.
            y: Labels of the training samples.
            test: Embeddings of the samples to predict.
        """
        votes = {"k": self.k, "temperature": self.temperature}
        if self.is_regression:
            if kind == "linear":
                return linear_regression(x, y, test)
            return neighbor_regression(x, y, test, **votes)  # type: ignore[arg-type]
        if kind == "linear":
            return linear_classifier(x, y, len(self.label_names), test)
        return neighbor_classifier(x, y, len(self.label_names), test, **votes)  # type: ignore[arg-type]

    def readable(self, output: np.ndarray) -> list[Any]:
        """Return the predictions as numbers or class names."""
        if self.is_regression:
            return [float(number) for number in output]
        return [self.label_names[i] for i in output.argmax(axis=1)]
