"""Lists of faults: printed, and where they are long, cut to as many as help."""

import re
import sys
from collections import Counter
from collections.abc import Sequence

SHOWN = 20
_PLACE = re.compile(r"^.*?:\d+: ")
_MORE = re.compile(r"… and (\d+) more")


def at_most(faults: Sequence[str], shown: int = SHOWN) -> list[str]:
    """Return the first ``shown`` faults, then how many more there are."""
    more = len(faults) - shown
    return [*faults[:shown], f"… and {more} more"] if more > 0 else list(faults)


def count(faults: Sequence[str]) -> int:
    """Return how many faults there are, with those that a cut list only counts."""
    return sum(int(found[1]) if (found := _MORE.match(fault)) else 1 for fault in faults)


def without_repeats(faults: Sequence[str], shown: int = SHOWN) -> list[str]:
    """Return all faults, but of one that many lines (``file:line: what``) share the first few.

    After the last of these stands how many more lines have it.
    """
    whats = [_PLACE.sub("", fault) for fault in faults]
    total, seen = Counter(whats), Counter[str]()
    kept = []
    for fault, what in zip(faults, whats, strict=True):
        seen[what] += 1
        if seen[what] <= shown:
            kept.append(fault)
        if seen[what] == shown < total[what]:
            kept.append(f"… and {total[what] - shown} more: {what}")
    return kept


def complain(command: str, faults: Sequence[str]) -> int:
    """Print the faults of a user's input."""
    if len(faults) == 1:
        print(f"mmtx {command}: {faults[0]}", file=sys.stderr)
    else:
        lines = "\n".join(f"  {fault}" for fault in faults)
        print(f"mmtx {command}: {count(faults)} faults\n{lines}", file=sys.stderr)
    return 2
