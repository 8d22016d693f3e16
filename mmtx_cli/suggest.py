"""Suggestions for misspelled names."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 200
"""Longer names are not compared, which would take seconds; they are not misspellings."""


def closest(word: str, names: Iterable[str], cutoff: float = 0.8) -> str | None:
    """Return the name most similar to a word, in any case, or None if none is similar enough."""
    if len(word) > LONGEST:
        return None
    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(word.strip().lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def suggest(word: str, names: Iterable[str], full: bool = False) -> str:
    """Return a hint with the closest name; without one, or if ``full``, with all names."""
    known = list(names)
    close = closest(word, known, 0.6)
    hints = [f"did you mean {close!r}?"] if close else []
    if full or not close:
        hints.append(f"choose from: {', '.join(known)}" if known else "none are available")
    return " ".join(hints)
