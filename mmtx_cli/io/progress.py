"""Progress on standard error: a bar on a terminal, otherwise occasional lines."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mmtx_cli.io.standard_streams import terminal

Item = TypeVar("Item")
FIRST_SECONDS, MOST_SECONDS = 15.0, 600.0


class SparseLines:
    """Progress lines for a log file, with the elapsed and the estimated remaining time.

    The first line is due after 15 s; the intervals grow with the elapsed time up to ten minutes, so
    that the logs of long runs stay short.
    """

    def __init__(
        self, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock; ``done`` of ``total`` parts were completed before."""
        self.total = total
        self.before = done
        self.clock = clock
        self.begun = clock()
        self.due = self.begun + FIRST_SECONDS

    def line(self, done: int) -> str | None:
        """Return ``120/1000, 0:01:15, about 0:09:10 left``, or None if no line is due."""
        now = self.clock()
        if now < self.due:
            return None
        elapsed = now - self.begun
        self.due = now + min(MOST_SECONDS, max(FIRST_SECONDS, elapsed / 10))
        left = elapsed * (self.total - done) / max(1, done - self.before)
        return f"{done}/{self.total}, {hours(elapsed)}, about {hours(left)} left"


def hours(seconds: float) -> str:
    """Format a duration as ``0:01:15``."""
    minutes, remainder = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{remainder:02d}"


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield the items and report how many of ``total`` are done."""
    if not terminal(sys.stderr).isatty():
        lines = SparseLines(total)
        for done, item in enumerate(items, 1):
            yield item
            if line := lines.line(done):
                print(f"{what} {line}", file=sys.stderr, flush=True)
        return
    from mmtx_cli.io.console import track as bar

    yield from bar(items, what, total)
