"""Figures that show that a captioner repeats itself: between inputs, or within a caption."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mmtx_cli.metric.properties.repetition import repetition

LEAST = 8
"""Captions below which nothing is concluded."""
SAME = 0.5
"""Share of captions that may be the same, unless the references are, too."""
REPEATED = 0.5
"""Mean share of pairs of words in a caption that may occur in it before."""


@dataclass(frozen=True)
class Degeneracy:
    """Figures of some captions and of their references, as shares in [0, 1].

    Args:
        count: Number of captions.
        most_frequent: Share of the most frequent caption.
        most_frequent_reference: Share of the most frequent reference.
        distinct: Number of distinct captions, as a share.
        repetition: Mean share of the pairs of adjacent words in a caption that occur in it before.
        vocabulary: Number of different words in all captions.
    """

    count: int
    most_frequent: float
    most_frequent_reference: float
    distinct: float
    repetition: float
    vocabulary: int

    def fault(self) -> str | None:
        """Return what is wrong, None if nothing is, or if there are too few captions."""
        if self.count < LEAST:
            return None
        if self.most_frequent > SAME and self.most_frequent_reference <= SAME:
            return (
                f"{self.most_frequent:.0%} of {self.count} validation samples get the same caption "
                f"({self.most_frequent_reference:.0%} have the same reference): the model ignores "
                "its input; train longer, or with a lower optimizer.lr from an earlier checkpoint"
            )
        if self.repetition > REPEATED:
            return (
                f"the captions of {self.count} validation samples repeat themselves "
                f"({self.repetition:.0%} of their pairs of words); use a lower optimizer.lr, or "
                "generation.no_repeat_ngram_size=3"
            )
        return None


def degeneracy(
    captions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
) -> Degeneracy:
    """Return the figures of captions and of one reference for each, as words or tokens."""
    texts, targets = ([tuple(text) for text in group] for group in (captions, references))
    count = len(texts)
    return Degeneracy(
        count=count,
        most_frequent=most_common(texts) / count,
        most_frequent_reference=most_common(targets) / count,
        distinct=len({*texts}) / count,
        repetition=sum(map(repetition, texts)) / count,
        vocabulary=len({word for text in texts for word in text}),
    )


def most_common(texts: Sequence[tuple[int, ...]]) -> int:
    """Return how often the most frequent text occurs."""
    return Counter(texts).most_common(1)[0][1]
