"""A loader that measures how long training waits for it, and how long a batch takes otherwise."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any


class Timed:
    """Yields some batches first, which are not timed, then those of a loader until time is up.

    Args:
        first: Yields the batches that are not timed.
        loader: The loader; its workers start after the first batches.
        untimed: How many those are.
        parts: Batches of a step: only whole steps are yielded.
        skipped: Steps of the loader that are not timed, either.
        most: Maximum number of timed steps.
        seconds: No further step begins after this many seconds.
        at_end: Called after the last batch.
    """

    def __init__(
        self,
        first: Callable[[], Iterable[Any]],
        loader: Any,
        *,
        untimed: int = 0,
        parts: int = 1,
        skipped: int = 2,
        most: int = 60,
        seconds: float = 12.0,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.first, self.loader, self.parts = first, loader, parts
        self.untimed = untimed
        self.skipped, self.most, self.seconds, self.at_end = skipped, most, seconds, at_end
        self.waits: list[float] = []
        self.busy: list[float] = []
        self.start_seconds = 0.0
        """Seconds until the loader had its first batch."""
        self.first_seconds: list[float] = []
        """Seconds of each of the batches that are not timed."""

    def __len__(self) -> int:
        return len(self.loader) + self.untimed

    def __iter__(self) -> Iterator[Any]:
        for batch in self.first():
            begun = time.perf_counter()
            yield batch
            self.first_seconds.append(time.perf_counter() - begun)
        begun = before = time.perf_counter()
        batches = iter(self.loader)
        for number in range((self.skipped + self.most) * self.parts):
            if number % self.parts == 0 and self._is_late(number, begun):
                break
            try:
                batch = next(batches)
            except StopIteration:
                break
            now = time.perf_counter()
            self.waits.append(now - before)
            if number == 0:
                self.start_seconds = now - before
            yield batch
            before = time.perf_counter()
            self.busy.append(before - now)
        del batches  # ends its workers
        self.at_end()

    def _is_late(self, number: int, begun: float) -> bool:
        """Return True if time is up and some steps have been timed."""
        enough = number > (self.skipped + 2) * self.parts
        return enough and time.perf_counter() - begun > self.seconds

    def timed(self, values: Sequence[float]) -> list[float]:
        """Return the values of the steps that count; of very few steps, all but the first."""
        skipped = self.skipped * self.parts
        return list(
            values[skipped:] if len(values) > skipped + self.parts else values[1:] or values
        )

    @property
    def figures(self) -> dict[str, float]:
        """Seconds of a batch: ``busy`` and ``wait`` over all, and over the ``second half``.

        The loader has a lead at first; only the second half shows what lasts.
        """
        waits, busy = self.timed(self.waits), self.timed(self.busy)
        if not busy:
            return {"busy": 0.0, "wait": 0.0, "lasting": 0.0, "batches": 0}
        half = len(busy) // 2
        both = [w + b for w, b in zip(waits, busy, strict=False)]
        return {
            "busy": mean(busy),
            "wait": mean(waits),
            "lasting": mean(both[half:]),
            "batches": len(busy),
        }


def mean(values: Sequence[float]) -> float:
    """Return the mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def loader_seconds(loader: Any, seconds: float = 8.0, most: int = 200) -> float:
    """Return the seconds that a loader's workers need for a batch, if nothing else is done.

    The batches that the workers have ready at once when the first one arrives are not counted.
    """
    batches = iter(loader)
    skipped = max(1, loader.num_workers)
    for _ in range(skipped):
        if next(batches, None) is None:
            return 0.0
    begun = time.perf_counter()
    count = 0
    while count < most and (count < 2 or time.perf_counter() - begun < seconds):
        if next(batches, None) is None:
            break
        count += 1
    return (time.perf_counter() - begun) / count if count else 0.0
