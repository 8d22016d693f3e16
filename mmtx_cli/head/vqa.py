"""Visual question answering as classification over the frequent training answers."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.vqa_answers import answer_metrics
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import SHOWN, Detokenizer, Evaluation, Head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.readout import Readout
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import Batch, Prediction, Streams


class VqaHead(Head):
    """Scores every known answer independently: binary cross-entropy against soft scores of the
    annotators' answers (Teney et al. 2018, sec. 3.7).

    Evaluated by VQA accuracy (Antol et al. 2015): the score of the predicted answer according to
    ``data/text/vqa_answers.py``, 0 if no annotator gave it. Answers are normalized before
    comparison.
    """

    targets: tuple[str, ...] = ("answers",)
    metrics: tuple[str, ...] = ("accuracy",)
    traits: ClassVar[HeadTraits] = HeadTraits(predicts=True)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        answer_names: Sequence[str],
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        dropout: float = 0.0,
        vote: str = "mean",
    ) -> None:
        """``answer_names`` are the candidate answers: the most frequent in the training rows."""
        super().__init__(dim, available, streams, weight)
        if not answer_names:
            raise ValueError("no candidate answers: no training row has answers")
        self.answer_names = list(answer_names)
        self.readout = Readout(dim, self.streams, len(answer_names), dropout, vote)

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["logits"]`` is [b, answers]. NaN targets are ignored."""
        logits = self.readout(streams)
        target = batch.targets.get("answers")
        if target is None:
            return Prediction(None, {"logits": logits})
        known = self.has_target(target)
        loss = global_mean(self.loss(logits, target), known.sum(), shared=self.training)
        outputs = {"logits": logits, "count": known.sum()}
        if self.training:
            return Prediction(loss, outputs)
        score = target.gather(1, logits.argmax(dim=1, keepdim=True)).nan_to_num(0)
        return Prediction(loss, outputs, {"accuracy": score.sum() / known.sum().clamp(min=1)})

    def has_target(self, target: Tensor) -> Bool[Tensor, " b"]:
        """Return which samples have answers."""
        return ~target[:, 0].isnan()

    def loss(self, logits: Float[Tensor, "b a"], target: Float[Tensor, "b a"]) -> Float[Tensor, ""]:
        """Return the loss summed over the answers and over the samples that have answers."""
        known = self.has_target(target)[:, None]
        return F.binary_cross_entropy_with_logits(
            logits.float(), target.nan_to_num(0), weight=known.float(), reduction="sum"
        )

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``logits`` [b, answers]."""
        return {"logits": self.readout(streams)}

    def predictions(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        tokenizer: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Return the most likely answer, and the ``top`` most likely with independent
        probabilities.
        """
        logits = torch.stack([output["logits"] for output in outputs]).float()
        order = logits.argsort(dim=1, descending=True, stable=True)[:, :top].tolist()
        top_answers = [
            [[self.answer_names[i], float(probs[i])] for i in indices]
            for indices, probs in zip(order, logits.sigmoid(), strict=True)
        ]
        return [{"prediction": t[0][0], "probability": t[0][1], "top": t} for t in top_answers]

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return the VQA accuracy (``accuracy``) and the exact match with the most frequent answer
        (``exact_match``); rows hold the predicted and the annotators' answers.
        """
        predicted_rows = self.predictions([output for (output,) in outputs], tokenizer)
        rows = [
            {**row, "answers": sample.answers}
            for row, sample in zip(predicted_rows, samples, strict=True)
        ]
        answers = [row["prediction"] for row in rows]
        return Evaluation(
            rows, Scores.means(answer_metrics(answers, [row.answers for row in samples]))
        )
