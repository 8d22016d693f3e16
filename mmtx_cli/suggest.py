"""Suggestions for misspelled names."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, names: Iterable[str], full: bool = False) -> str:
    """Return a hint with the closest name; without one, or if ``full``, with all names."""
    known = list(names)
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    hints = [f"did you mean {close[0]!r}?"] if close else []
    if full or not close:
        hints.append(f"choose from: {', '.join(known)}" if known else "none are available")
    return " ".join(hints)
