"""Regression: predict one number per sample."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import SHOWN, Detokenizer, Evaluation, Head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.readout import Readout
from mmtx_cli.metric.regression import regression_scores
from mmtx_cli.types import Batch, Prediction, Streams

LOSSES: dict[str, Callable[..., Tensor]] = {
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "huber": F.huber_loss,
}


class RegressionHead(Head):
    """Predicts a numeric label; the predictions of several streams are combined by ``vote``.

    The label is standardized by the mean and standard deviation of the training rows, so the loss
    has no unit.
    """

    targets: tuple[str, ...] = ("number",)
    traits: ClassVar[HeadTraits] = HeadTraits(predicts=True)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        label_mean: float,
        label_std: float,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        loss: str = "l1",
        dropout: float = 0.0,
        vote: str = "mean",
    ) -> None:
        """``loss``: "l1", "mse" or "huber". ``vote``: set by a decision-level fusion."""
        super().__init__(dim, available, streams, weight)
        if loss not in LOSSES:
            raise ValueError(f"loss={loss!r} is not one of {', '.join(LOSSES)}")
        if vote == "product" and len(self.streams) > 1:
            raise ValueError("fusion.vote=product needs probabilities, and this head has none")
        self.label_mean, self.label_std = label_mean, label_std
        self.loss = loss
        self.readout = Readout(dim, self.streams, 1, dropout, vote)

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["number"]`` is [b]. NaN targets are ignored."""
        z = self.readout(streams)[:, 0].float()
        outputs = {"number": z * self.label_std + self.label_mean}
        target = batch.targets.get("number")
        if target is None:
            return Prediction(None, outputs)
        known = self.has_target(target)
        z_target = ((target - self.label_mean) / self.label_std).where(known, z.detach())
        total = LOSSES[self.loss](z, z_target, reduction="sum")
        loss = global_mean(total, known.sum(), shared=self.training)
        return Prediction(loss, {**outputs, "count": known.sum()})

    def has_target(self, target: Tensor) -> Bool[Tensor, " b"]:
        """Return which samples have a number."""
        return ~target.isnan()

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``number`` [b]."""
        return {"number": self.readout(streams)[:, 0].float() * self.label_std + self.label_mean}

    def predictions(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        tokenizer: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Return the predicted number."""
        return [{"prediction": float(output["number"])} for output in outputs]

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return MAE, RMSE, Pearson correlation and R²."""
        predicted_rows = self.predictions([output for (output,) in outputs], tokenizer)
        predictions = np.array([row["prediction"] for row in predicted_rows])
        true = np.array([float(sample.label) for sample in samples])  # type: ignore[arg-type]
        rows = [
            {**row, "label": float(t), "scores": {"error": float(abs(row["prediction"] - t))}}
            for row, t in zip(predicted_rows, true, strict=True)
        ]
        return Evaluation(rows, regression_scores(predictions, true))
