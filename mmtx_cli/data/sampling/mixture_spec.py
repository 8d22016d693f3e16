"""Settings that differ between the corpora of a mixture."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mixing:
    """The ``names`` of the corpora in order, and settings by name.

    ``texts`` is the text encoder's input column, ``weights`` are the sampling weights (None to
    sample by size). ``learners`` maps heads that are trained on some corpora only to those.
    """

    names: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    weights: Sequence[float] | None = None
    head_corpora: Mapping[str, Set[str]] = field(default_factory=dict)

    def trains_on(self, head: str, corpus: str) -> bool:
        """Return True if a head is trained on a corpus."""
        return head not in self.head_corpora or corpus in self.head_corpora[head]
