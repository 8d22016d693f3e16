"""What is particular to each of several corpora that are learned together."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mixing:
    """``names`` of the corpora in their order, and by name what not all of them share.

    ``texts`` is the column that the text encoder reads; ``weights`` are those of the samples,
    None to go by size. ``learners`` are the heads that learn from some corpora alone, and from
    which.
    """

    names: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    weights: Sequence[float] | None = None
    learners: Mapping[str, Set[str]] = field(default_factory=dict)

    def learns(self, head: str, corpus: str) -> bool:
        """Is a head to learn from a corpus?"""
        return head not in self.learners or corpus in self.learners[head]
