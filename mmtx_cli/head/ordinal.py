"""Ordinal regression: classification with ordered classes."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import SHOWN, Detokenizer, Evaluation, Head
from mmtx_cli.head.classification import likeliest
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.readout import Readout
from mmtx_cli.metric.calibration import calibration_scores
from mmtx_cli.metric.ordinal import ordinal_scores
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import IGNORE_INDEX, Batch, Prediction, Streams


class OrdinalHead(Head):
    """Proportional odds model (McCullagh 1980) on learned features: one score per sample and one
    threshold between adjacent classes; P(class > k) = sigmoid(score - threshold_k).

    The loss is the mean binary cross-entropy over the thresholds (CORAL, Cao et al. 2020, eq. 5).
    Thresholds increase by construction, so class probabilities are never negative.
    """

    targets: tuple[str, ...] = ("label",)
    traits: ClassVar[HeadTraits] = HeadTraits(predicts=True, ordinal=True)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        label_names: Sequence[str],
        multi_label: bool = False,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        dropout: float = 0.0,
        vote: str = "mean",
    ) -> None:
        """``label_names`` are the classes, lowest first."""
        super().__init__(dim, available, streams, weight)
        if multi_label:
            raise ValueError("an ordinal head does not support samples with several labels")
        if len(label_names) < 2:
            raise ValueError(f"an order needs two classes, found {list(label_names)}")
        if vote == "product" and len(self.streams) > 1:
            raise ValueError("fusion.vote=product needs probabilities, and this head has scores")
        self.label_names = list(label_names)
        self.readout = Readout(dim, self.streams, 1, dropout, vote)
        self.lowest = nn.Parameter(torch.tensor([-1.0]))
        # softplus(0.5413) = 1: initial thresholds are 1 apart
        self.rise = nn.Parameter(torch.full((len(label_names) - 2,), 0.5413))

    def thresholds(self) -> Float[Tensor, " k"]:
        """Return the thresholds in increasing order, one fewer than classes."""
        return torch.cat([self.lowest, self.lowest + F.softplus(self.rise).cumsum(dim=0)])

    def above(self, streams: Streams) -> Float[Tensor, "b k"]:
        """Return the logits of exceeding each threshold."""
        return self.readout(streams).float() - self.thresholds().float()

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["above"]`` is [b, classes - 1]: logits of exceeding each
        threshold.
        """
        above = self.above(streams)
        target = batch.targets.get("label")
        if target is None:
            return Prediction(None, {"above": above})
        known = self.has_target(target)
        total = self.loss(above, target)
        loss = global_mean(total, known.sum(), shared=self.training)
        return Prediction(loss, {"above": above, "count": known.sum()})

    def loss(self, above: Float[Tensor, "b k"], target: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """Return the loss summed over the labeled samples and averaged over the thresholds."""
        ranks = torch.arange(above.shape[1], device=above.device)
        exceeds = (target[:, None] > ranks).to(above.dtype)
        losses = F.binary_cross_entropy_with_logits(above, exceeds, reduction="none").mean(dim=1)
        return (losses * self.has_target(target)).sum()

    def has_target(self, target: Tensor) -> Bool[Tensor, " b"]:
        """Return which samples have a label."""
        return target != IGNORE_INDEX

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``above`` [b, classes - 1]."""
        return {"above": self.above(streams)}

    def classes(
        self, outputs: Sequence[Mapping[str, Tensor]]
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n c"]]:
        """Return the median class of each sample, and the probabilities of all classes."""
        above = torch.stack([output["above"] for output in outputs]).double().sigmoid().numpy()
        ends = np.ones((len(above), 1))
        probabilities = -np.diff(np.concatenate([ends, above, 0 * ends], axis=1), axis=1)
        return (above > 0.5).sum(axis=1), probabilities

    def predictions(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        tokenizer: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Return the median class, which may differ from the most likely, and the ``top`` most
        likely.
        """
        return [
            {
                "prediction": self.label_names[y],
                "probability": float(probs[y]),
                "top": likeliest(probs, self.label_names, top),
            }
            for y, probs in zip(*self.classes(outputs), strict=True)
        ]

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return accuracy, error in ranks, weighted kappa and calibration of the median class."""
        first = [output for (output,) in outputs]
        predicted, probabilities = self.classes(first)
        index = {name: i for i, name in enumerate(self.label_names)}
        true = np.array([index[str(sample.label)] for sample in samples])
        rows = [
            {
                **row,
                "label": self.label_names[t],
                "scores": {"probability_of_label": float(p[t]), "error": float(abs(y - t))},
            }
            for row, y, t, p in zip(
                self.predictions(first, tokenizer), predicted, true, probabilities, strict=True
            )
        ]
        confidence = np.take_along_axis(probabilities, predicted[:, None], axis=1)[:, 0]
        scores = Scores.merged(
            ordinal_scores(predicted, true, len(self.label_names)),
            calibration_scores(confidence, predicted == true),
        )
        return Evaluation(rows, scores)
