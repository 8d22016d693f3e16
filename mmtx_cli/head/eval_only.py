"""Evaluation-only heads: they run on a trained model and are not part of it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.base import Detokenizer, Evaluation, Head, unscored
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import Batch, Prediction, Streams


class EvaluationHead(Head):
    """Replaces a trained model's heads in evaluation; it has no weights except theirs.

    Some are fitted on training samples before evaluation.
    """

    traits: ClassVar[HeadTraits] = HeadTraits(trained=False)

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the outputs without a loss, since the head is not trained."""
        return Prediction(None, self.predict(streams, batch))

    @abstractmethod
    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for each sample, also for those it is fitted on."""

    def examples(self, train: Sequence[Sample], test: Sequence[Sample]) -> list[Sample]:
        """Return the samples to fit the head on before evaluating on ``test``; empty by default.

        Raises DataError for samples that the head cannot use.
        """
        return []

    def fit(self, outputs: Sequence[Mapping[str, Tensor]], examples: Sequence[Sample]) -> None:
        """Fit the head on its outputs for the examples that could be read."""


class StreamHead(EvaluationHead):
    """Returns which samples have each stream of a model, and the mean token of each stream."""

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        streams: Sequence[str] | None = None,
        means: bool = True,
    ) -> None:
        """``streams`` defaults to every modality and the fused stream.

        Without ``means`` only the presence of the streams is returned.
        """
        super().__init__(dim, available, available if streams is None else streams)
        self.means = means

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return the mean token of each stream, [b, d], and which samples have it."""
        selected = {name: streams[name] for name in self.streams}
        means = {name: masked_mean(x.x, x.mask) for name, x in selected.items() if self.means}
        return means | {f"{name}_present": x.present for name, x in selected.items()}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return no metrics."""
        return unscored(samples)


def contrastive_head(trained_heads: nn.ModuleDict, name: str | None) -> Head:
    """Return the contrastive head of this name, or the only one.

    Raises ValueError if there is no contrastive head, none of this name, or several and no name is
    given.
    """
    candidates = {
        key: head
        for key, head in trained_heads.items()
        if isinstance(head, Head) and head.traits.contrastive
    }
    names = ", ".join(candidates)
    if not candidates:
        raise ValueError("the model has no contrastive head: train one with head=contrastive")
    if name is None and len(candidates) > 1:
        raise ValueError(f"head: the model has several contrastive heads; choose one of {names}")
    if name is not None and name not in candidates:
        raise ValueError(f"head={name}: unknown contrastive head; choose from {names}")
    return candidates[name or names]
