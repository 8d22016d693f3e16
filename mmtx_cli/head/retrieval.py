"""Retrieval with a trained contrastive head, for chosen pairs and ranks."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.head.eval_only import EvaluationHead, aligned
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import Batch, Streams


class RetrievalHead(EvaluationHead):
    """Retrieves items of one stream with queries from another by cosine similarity, in both
    directions.

    Every caption of a sample is a query and a correct item.
    """

    scores_every_text: ClassVar[bool] = True
    asks_aligned: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        trained: nn.ModuleDict,
        head: str | None = None,
        pairs: Sequence[Sequence[str]] | None = None,
        at: Sequence[int] = (1, 5, 10),
    ) -> None:
        """``head`` is the contrastive head to use (default: the only one).

        ``pairs`` are pairs of streams that it embeds, such as ``[[image,text],[audio,text]]``
        (default: the pairs it aligns); ``at`` are the ranks at which recall is computed.
        """
        asked = aligned(trained, head)
        super().__init__(dim, streams, asked.reads)
        self.asked: Head = asked
        for pair in pairs or ():
            if isinstance(pair, str) or len({*pair}) != 2 or not {*pair} <= {*asked.reads}:
                raise ValueError(f"pairs: {pair} must be two of {', '.join(asked.reads)}")
        if pairs is not None and not pairs:
            raise ValueError("pairs is empty: list at least one, such as [[image,text]]")
        if not at or min(at) < 1 or len({*at}) < len(at):
            raise ValueError(f"at={list(at)}: must be distinct ranks from 1 up, such as [1,5,10]")
        chosen = asked.pairs if pairs is None else sorted({(min(p), max(p)) for p in pairs})
        self.found = list(chosen)
        self.at = tuple(sorted(at))

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return the embeddings and, for each stream, which samples have it."""
        return self.asked.predict(streams, batch)

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """Return recall and median rank of every pair in both directions."""
        return self.asked.retrieved(outputs, samples, self.found, self.at)  # type: ignore[operator]

    def chance(
        self, outputs: list[list[dict[str, Tensor]]], samples: Sequence[Sample]
    ) -> Scores | None:
        """Return the expected recall of a random order."""
        return self.asked.chance_of(outputs, samples, self.found, self.at)  # type: ignore[operator]
