"""Retrieval with a trained contrastive head, for chosen pairs and ranks."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.head.eval_only import EvaluationHead, contrastive_head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import Batch, Streams


class RetrievalHead(EvaluationHead):
    """Retrieves items of one stream with queries from another by cosine similarity, in both
    directions.

    Every caption of a sample is a query and a correct item.
    """

    traits: ClassVar[HeadTraits] = HeadTraits(
        trained=False, scores_every_text=True, needs_contrastive=True
    )

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        trained_heads: nn.ModuleDict,
        head: str | None = None,
        pairs: Sequence[Sequence[str]] | None = None,
        k: Sequence[int] = (1, 5, 10),
    ) -> None:
        """``head`` is the contrastive head to use (default: the only one).

        ``pairs`` are pairs of streams that it embeds, such as ``[[image,text],[audio,text]]``
        (default: the pairs it aligns); ``k`` are the ranks at which recall is computed.
        """
        contrastive = contrastive_head(trained_heads, head)
        super().__init__(dim, available, contrastive.streams)
        self.contrastive: Head = contrastive
        for pair in pairs or ():
            if isinstance(pair, str) or len({*pair}) != 2 or not {*pair} <= {*contrastive.streams}:
                raise ValueError(f"pairs: {pair} must be two of {', '.join(contrastive.streams)}")
        if pairs is not None and not pairs:
            raise ValueError("pairs is empty: list at least one, such as [[image,text]]")
        if not k or min(k) < 1 or len({*k}) < len(k):
            raise ValueError(f"k={list(k)}: must be distinct ranks from 1 up, such as [1,5,10]")
        chosen = contrastive.pairs if pairs is None else sorted({(min(p), max(p)) for p in pairs})
        self.searched_pairs = list(chosen)
        self.k = tuple(sorted(k))

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return the embeddings and, for each stream, which samples have it."""
        return self.contrastive.predict(streams, batch)

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return recall and median rank of every pair in both directions."""
        return self.contrastive.evaluate_retrieval(outputs, samples, self.searched_pairs, self.k)  # type: ignore[operator]

    def chance(
        self, outputs: list[list[dict[str, Tensor]]], samples: Sequence[Sample]
    ) -> Scores | None:
        """Return the expected recall of a random order."""
        return self.contrastive.retrieval_chance(outputs, samples, self.searched_pairs, self.k)  # type: ignore[operator]
