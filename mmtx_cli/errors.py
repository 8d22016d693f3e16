"""The errors that are the user's to mend: shown without a traceback, exit status 2."""

import re
import sys
from collections import Counter
from collections.abc import Sequence

SHOWN = 20
_PLACE = re.compile(r"^.*?:\d+: ")
_MORE = re.compile(r"… and (\d+) more")


class MmtxError(ValueError):
    """What a user did. The message says what is wrong, where, and what to do about it."""

    def __init__(self, *faults: str) -> None:
        """Take every fault found, so that all are shown at once."""
        super().__init__("\n".join(faults))
        self.faults = faults


class ConfigError(MmtxError):
    """A fault of the configuration; the message names the config path."""


class DataError(MmtxError):
    """A fault of the user's data; the message names file:line or the sample id."""


class CheckpointError(MmtxError):
    """A checkpoint or model folder that is absent, damaged or does not fit."""


class RunError(RuntimeError):
    """A run that failed, not by a mistake of the user's: shown without a traceback, status 1."""


class OutputError(RunError):
    """Standard output that cannot be written."""


class DivergenceError(RunError):
    """Training went astray. The message names the step and its samples."""


class Interrupted(BaseException):
    """Work was told to stop by a signal: exit status 128 + ``number``.

    ``run_dir`` is the run folder that ``resume=true`` goes on with, if there is one.
    """

    def __init__(self, number: int, message: str, run_dir: object = None) -> None:
        """Take the signal's number, and what is kept of the work."""
        super().__init__(message)
        self.number, self.run_dir = number, run_dir


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
