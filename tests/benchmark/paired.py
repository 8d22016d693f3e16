"""How much faster one thing is than another, measured side by side."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np


def paired_ratio(
    a: Callable[[], float | None], b: Callable[[], float | None], rounds: int = 7
) -> tuple[float, list[float]]:
    """Return the median over rounds of the time of ``a`` over the time of ``b``, and each ratio.

    Every round runs A B B A, so that a machine that slows down or speeds up favors neither. Both
    run once before, unmeasured. One that returns seconds has measured itself.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    a()
    b()
    ratios = []
    for _ in range(rounds):
        first, second, third, fourth = (_seconds(run) for run in (a, b, b, a))
        ratios.append((first + fourth) / (second + third))
    return statistics.median(ratios), ratios


def _seconds(run: Callable[[], float | None]) -> float:
    start = time.perf_counter()
    own = run()
    return time.perf_counter() - start if own is None else own


def report(name: str, ratio: float, ratios: list[float]) -> None:
    """Print a ratio of times, theirs over ours: how many times faster mmtx is."""
    print(
        f"{name} = {ratio:.2f} (median of {len(ratios)} rounds, {min(ratios):.2f} to "
        f"{max(ratios):.2f})",
        flush=True,
    )


def interval(ratios: list[float], draws: int = 10_000) -> tuple[float, float]:
    """Return the 95 % interval of the median: what it is in resampled rounds (Efron 1979)."""
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (draws, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def verdict(
    name: str, ratios: list[float], at_least: float | None = None, at_most: float | None = None
) -> None:
    """Print the median of the rounds' ratios with its 95 % interval, and its target, if any."""
    ratio = statistics.median(ratios)
    low, high = interval(ratios)
    targets = [("at least", at_least), ("at most", at_most)]
    target = "".join(f"; target: {word} {x}" for word, x in targets if x is not None)
    print(
        f"{name} = {ratio:.3f} [{low:.3f}, {high:.3f}] (median of {len(ratios)} rounds){target}",
        flush=True,
    )


class Turns:
    """Lets two threads of one process work in turns, A B B A, and notes the seconds of each turn.

    For what takes long: a machine whose speed drifts treats neighboring turns alike.
    """

    def __init__(self, count: int) -> None:
        """``count`` is the number of turns of each side."""
        self.count = count
        self.seconds: dict[str, list[float]] = {"a": [], "b": []}
        self.free = {"a": threading.Semaphore(1), "b": threading.Semaphore(0)}

    def take(self, side: str) -> Iterator[int]:
        """Yield the numbers of this side's turns; a turn lasts until the next one is asked for."""
        for turn in range(self.count):
            if not self.free[side].acquire(timeout=300):
                raise RuntimeError("the other side has stopped")
            begun = time.perf_counter()
            yield turn
            self.seconds[side].append(time.perf_counter() - begun)
            done = sum(map(len, self.seconds.values()))
            self.free["abba"[done % 4]].release()

    def ratio(self, warm: int, rounds: int) -> tuple[float, list[float]]:
        """Median over rounds of A's time over B's, and each ratio; the first turns do not count."""
        a, b = (self.seconds[side][warm:] for side in "ab")
        size = min(len(a), len(b)) // rounds
        parts = [slice(i * size, (i + 1) * size) for i in range(rounds)]
        ratios = [sum(a[part]) / sum(b[part]) for part in parts]
        return statistics.median(ratios), ratios
