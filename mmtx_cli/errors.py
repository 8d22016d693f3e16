"""Errors that are reported to the user without a traceback."""

import re
import sys
from collections import Counter
from collections.abc import Sequence

MAX_SHOWN = 20
"""Number of faults or names in a message."""
# not compiled here: most commands never need them
_PLACE = r"^.*?:\d+: "
_MORE = r"… and (\d+) more"


class MmtxError(ValueError):
    """An error that the user can fix, with exit status 2.

    The message states what is wrong, where, and how to fix it.
    """

    def __init__(self, *faults: str) -> None:
        """Store all faults found, so that they are shown at once."""
        super().__init__("\n".join(faults))
        self.faults = faults


class ConfigError(MmtxError):
    """An invalid configuration; the message names the config path."""


class DataError(MmtxError):
    """Invalid data; the message names file:line or the sample id."""


class CheckpointError(MmtxError):
    """A checkpoint or model folder is missing, damaged or incompatible."""


class RunError(RuntimeError):
    """A run failed through no mistake of the user; exit status 1."""


class OutputError(RunError):
    """Standard output cannot be written."""


class DivergenceError(RunError):
    """Training diverged. The message names the step and its samples."""


class Interrupted(BaseException):
    """A signal stopped the work; exit status 128 + ``number``.

    ``run_dir`` is the run folder that ``resume=true`` continues, if there is one.
    """

    def __init__(self, number: int, message: str, run_dir: object = None) -> None:
        """Store the signal's number and the run folder; the message states what was saved."""
        super().__init__(message)
        self.number, self.run_dir = number, run_dir


def truncate(faults: Sequence[str], shown: int = MAX_SHOWN) -> list[str]:
    """Return the first ``shown`` faults, followed by the number of further ones."""
    more = len(faults) - shown
    return [*faults[:shown], f"… and {more} more"] if more > 0 else list(faults)


def listed(names: Sequence[object], shown: int = MAX_SHOWN) -> str:
    """Return the first ``shown`` names separated by commas, followed by … if there are more."""
    return ", ".join(map(str, names[:shown])) + (" …" if len(names) > shown else "")


def count_faults(faults: Sequence[str]) -> int:
    """Return the number of faults, including those that a truncated list only counts."""
    return sum(int(match[1]) if (match := re.match(_MORE, fault)) else 1 for fault in faults)


def without_repeats(faults: Sequence[str], shown: int = MAX_SHOWN) -> list[str]:
    """Return the faults, limited to ``shown`` lines (``file:line: fault``) with the same fault.

    The last of these lines is followed by the number of further lines with this fault.
    """
    messages = [re.sub(_PLACE, "", fault) for fault in faults]
    total, seen = Counter(messages), Counter[str]()
    kept = []
    for fault, message in zip(faults, messages, strict=True):
        seen[message] += 1
        if seen[message] <= shown:
            kept.append(fault)
        if seen[message] == shown < total[message]:
            kept.append(f"… and {total[message] - shown} more: {message}")
    return kept


def print_faults(command: str, faults: Sequence[str]) -> int:
    """Print the faults to standard error and return exit status 2."""
    if len(faults) == 1:
        print(f"mmtx {command}: {faults[0]}", file=sys.stderr)
    else:
        lines = "\n".join(f"  {fault}" for fault in faults)
        print(f"mmtx {command}: {count_faults(faults)} errors\n{lines}", file=sys.stderr)
    return 2
