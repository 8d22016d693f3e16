"""Heads that are no part of a model: evaluation asks them of one that is trained."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.base import Detokenizer, Evaluation, Head, unscored
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import Batch, Prediction, Streams


class EvaluationHead(Head):
    """Stands in place of a trained model's own heads; it has no weights but theirs.

    Some learn from examples before they are evaluated.
    """

    trained: ClassVar[bool] = False

    asks_aligned: ClassVar[bool] = False
    """Does it ask a contrastive head?"""

    asks_text: ClassVar[bool] = False
    """Does it ask what words mean to the model?"""

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """What it says; there is no loss, as it is not trained."""
        return Prediction(None, self.predict(streams, batch))

    @abstractmethod
    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """What the head says of each sample, of the examples too."""

    def examples(self, train: Sequence[Sample], asked: Sequence[Sample]) -> list[Sample]:
        """The samples that it learns from, to be evaluated on ``asked``; here none.

        Raises DataError for samples that it can make nothing of.
        """
        return []

    def learn(self, outputs: Sequence[Mapping[str, Tensor]], examples: Sequence[Sample]) -> None:
        """Learn from what it said of examples, those of them that could be read."""


class StreamHead(EvaluationHead):
    """What there is of every stream of a model: which samples have it, and its mean token."""

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        reads: Sequence[str] | None = None,
        means: bool = True,
    ) -> None:
        """``reads`` defaults to every modality and the fused stream.

        Without ``means`` it says only which samples have a stream.
        """
        super().__init__(dim, streams, streams if reads is None else reads)
        self.means = means

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """The mean token of each stream, [b, d], and which samples have it."""
        read = {name: streams[name] for name in self.reads}
        means = {name: masked_mean(x.x, x.mask) for name, x in read.items() if self.means}
        return means | {f"{name}_present": x.present for name, x in read.items()}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """There is no figure."""
        return unscored(samples)


def aligned(trained: nn.ModuleDict, name: str | None) -> Head:
    """The contrastive head of this name, or the only one there is.

    Raises ValueError where there is none, or several and no name.
    """
    there = {key: head for key, head in trained.items() if isinstance(head, Head) and head.aligns}
    names = ", ".join(there)
    if not there:
        raise ValueError("the model has no contrastive head: train one with head=contrastive")
    if name is None and len(there) > 1:
        raise ValueError(f"head: the model has several contrastive heads; write one of {names}")
    if name is not None and name not in there:
        raise ValueError(f"head={name}: the model's contrastive heads are {names}")
    return there[name or names]
