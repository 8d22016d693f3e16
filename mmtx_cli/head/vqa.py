"""Visual question answering: an answer chosen from those that training knows."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.data.answer import judged
from mmtx_cli.data.sample import Sample
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.layer.distributed import global_mean
from mmtx_cli.layer.readout import Readout
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import Batch, Prediction, Streams

SHOWN = 5


class VqaHead(Head):
    """A score for every known answer, each learned by itself from what people said: binary
    cross-entropy on soft scores (Teney et al. 2018, sec. 3.7).

    Scored by VQA accuracy (Antol et al. 2015): what the answer given is worth by
    ``data/answer.py``, 0 for one that nobody gave. Answers are compared in their normal form.
    """

    needs: tuple[str, ...] = ("answers",)
    figures: tuple[str, ...] = ("accuracy",)

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        answer_names: Sequence[str],
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        dropout: float = 0.0,
        vote: str = "mean",
    ) -> None:
        """``answer_names`` are the answers to choose from: the training rows' most frequent."""
        super().__init__(dim, streams, reads, weight)
        if not answer_names:
            raise ValueError("there is no answer to choose from: no training row has answers")
        self.answer_names = list(answer_names)
        self.readout = Readout(dim, self.reads, len(answer_names), dropout, vote)

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """``outputs["logits"]`` is [b, answers]; a target of NaN is none."""
        logits = self.readout(streams)
        target = batch.targets.get("answers")
        if target is None:
            return Prediction(None, {"logits": logits})
        known = self.known(target)
        loss = global_mean(self.loss(logits, target), known.sum(), shared=self.training)
        outputs = {"logits": logits, "count": known.sum()}
        if self.training:
            return Prediction(loss, outputs)
        worth = target.gather(1, logits.argmax(dim=1, keepdim=True)).nan_to_num(0)
        return Prediction(loss, outputs, {"accuracy": worth.sum() / known.sum().clamp(min=1)})

    def count(self, batch: Batch) -> Int[Tensor, ""] | None:
        """Samples that have answers."""
        target = batch.targets.get("answers")
        return None if target is None else self.known(target).sum()

    def known(self, target: Tensor) -> Bool[Tensor, " b"]:
        """Samples that have answers."""
        return ~target[:, 0].isnan()

    def loss(self, logits: Float[Tensor, "b a"], target: Float[Tensor, "b a"]) -> Float[Tensor, ""]:
        """Sum over the samples that have answers, and over the answers."""
        known = self.known(target)[:, None]
        return F.binary_cross_entropy_with_logits(
            logits.float(), target.nan_to_num(0), weight=known.float(), reduction="sum"
        )

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """``logits`` [b, answers]."""
        return {"logits": self.readout(streams)}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """``accuracy`` as VQA counts it, ``exact_match`` with what most people said; a row holds
        the answer given and those of the people.
        """
        logits = torch.stack([output["logits"] for (output,) in outputs]).float()
        order = logits.argsort(dim=1, descending=True, stable=True)[:, :SHOWN].tolist()
        rows = [self.row(*each) for each in zip(order, logits.sigmoid(), samples, strict=True)]
        said = [row["prediction"] for row in rows]
        return Evaluation(rows, Scores.means(judged(said, [row.answers for row in samples])))

    def row(self, order: list[int], probabilities: Tensor, sample: Sample) -> dict[str, Any]:
        """One sample's answer in words."""
        top = [[self.answer_names[i], float(probabilities[i])] for i in order]
        return {
            "prediction": self.answer_names[order[0]],
            "answers": sample.answers,
            "probability": top[0][1],
            "top": top,
        }
