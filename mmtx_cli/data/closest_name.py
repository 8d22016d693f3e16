"""What the user probably meant: the nearest of the known names."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 200
"""A longer name is no misspelling of a short one; comparing it would take seconds."""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.8) -> str | None:
    """Return the known name that ``name`` is a near miss of, if there is one."""
    if len(name) > LONGEST:
        return None
    matches = get_close_matches(name.strip().lower(), list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None
