"""Size of the vocabulary of a set of captions, and shares of distinct n-grams."""

import math
from collections.abc import Sequence


def vocabulary(captions: Sequence[Sequence[str]]) -> int:
    """Return the number of different words."""
    return len({word for words in captions for word in words})


def distinct(captions: Sequence[Sequence[str]], order: int) -> float:
    """Return distinct-n: different n-grams / n-grams of all captions; NaN if there are none.

    Li et al. (2016, arXiv:1510.03055, section 5.2) divide by the number of words instead, which is
    the same for n = 1. The value falls as a set grows: only sets of the same size are comparable.
    """
    seen: set[tuple[str, ...]] = set()
    total = 0
    for words in captions:
        grams = [*zip(*(words[at:] for at in range(order)), strict=False)]
        seen.update(grams)
        total += len(grams)
    return len(seen) / total if total else math.nan
