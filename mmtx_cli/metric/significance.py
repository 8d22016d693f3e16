"""Significance tests for the difference between two groups of runs on the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Resampling weights are generated in chunks of about this many numbers to bound the memory.
_PIECE = 4_000_000


@dataclass(frozen=True)
class Difference:
    """Mean of a minus mean of b, its interval, and the p-value of no difference."""

    mean: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    a: np.ndarray,
    b: np.ndarray,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Return the difference of means with a percentile interval (Efron, Tibshirani 1993, ch. 16).

    Every resample draws samples, the same for both sides because the data are paired, and on each
    side runs, to account for the variance between seeds. The p-value is two-sided: twice the
    fraction of resamples in which the difference has changed its sign or is zero, with one added to
    both counts (Davison and Hinkley 1997, sec. 4.2), so it is never 0.

    Args:
        a: [runs, n], one value per run and sample.
        b: [runs, n], for the same samples in the same order; the number of runs may differ.
        resamples: Number of bootstrap resamples.
        level: Coverage of the interval.
        seed: Seed of the resampling.
    """
    assert a.ndim == b.ndim == 2
    assert a.shape[1] == b.shape[1] > 0, "two groups of runs must have the same samples"
    rng = np.random.default_rng(seed)
    n = a.shape[1]
    differences = np.empty(resamples)
    step = max(1, _PIECE // n)
    for first in range(0, resamples, step):
        chunk = differences[first : first + step]
        weights = rng.multinomial(n, np.full(n, 1 / n), size=len(chunk)) / n
        chunk[:] = _resampled(a, weights, rng) - _resampled(b, weights, rng)
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    tail = min((differences <= 0).sum(), (differences >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (resamples + 1))
    return Difference(float(a.mean() - b.mean()), float(low), float(high), float(p))


def _resampled(values: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return means [r] of resampled runs, with samples weighted by ``weights`` [r, n]."""
    runs = len(values)
    share = rng.multinomial(runs, np.full(runs, 1 / runs), size=len(weights)) / runs
    return ((weights @ values.T) * share).sum(axis=1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple comparisons (Holm 1979): the step-down procedure."""
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
