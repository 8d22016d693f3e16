"""How much faster one thing is than another, measured side by side."""

import statistics
import time
from collections.abc import Callable


def paired_ratio(
    a: Callable[[], float | None], b: Callable[[], float | None], rounds: int = 7
) -> tuple[float, list[float]]:
    """Return the median over rounds of the time of ``a`` over the time of ``b``, and each ratio.

    Every round runs A B B A, so that a machine that slows down or speeds up favours neither. Both
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
