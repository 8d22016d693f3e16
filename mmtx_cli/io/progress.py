"""How far long work is: a bar on standard error where someone looks, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mmtx_cli.io.standard_streams import terminal

Item = TypeVar("Item")
FIRST_SECONDS, MOST_SECONDS = 15.0, 600.0


class SparseLines:
    """Says when a log file needs a line, and how long the work has taken and will take.

    The first is due after 15 s; the pauses grow with the work to ten minutes, so that the log of a
    night stays short.
    """

    def __init__(
        self, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``done`` of ``total`` parts were made before, and took none of this time."""
        self.total = total
        self.before = done
        self.clock = clock
        self.begun = clock()
        self.due = self.begun + FIRST_SECONDS

    def line(self, done: int) -> str | None:
        """``120/1000, 0:01:15, about 0:09:10 left``; None where no line is due."""
        now = self.clock()
        if now < self.due:
            return None
        elapsed = now - self.begun
        self.due = now + min(MOST_SECONDS, max(FIRST_SECONDS, elapsed / 10))
        left = elapsed * (self.total - done) / max(1, done - self.before)
        return f"{done}/{self.total}, {hours(elapsed)}, about {hours(left)} left"


def hours(seconds: float) -> str:
    """A length of time: ``0:01:15``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield the items, telling how many of ``total`` are through."""
    if not terminal(sys.stderr).isatty():
        lines = SparseLines(total)
        for done, item in enumerate(items, 1):
            yield item
            if line := lines.line(done):
                print(f"{what} {line}", file=sys.stderr, flush=True)
        return
    from mmtx_cli.io.console import track as bar

    yield from bar(items, what, total)
