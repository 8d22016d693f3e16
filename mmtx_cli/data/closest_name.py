"""Suggestion of the known name closest to a misspelled one."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 200
"""Longer names are not compared, which would take seconds; they are not misspellings."""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.8) -> str | None:
    """Return the known name most similar to ``name``, or None if none is similar enough."""
    if len(name) > LONGEST:
        return None
    matches = get_close_matches(name.strip().lower(), list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None
