"""Paired permutation test of the difference between two systems."""

import numpy as np

from mmtx_cli.metric.scores import Scores

# Exchanges are drawn in chunks of about this many numbers to bound the memory.
_PIECE = 4_000_000
_ROUNDING = 1e-9
"""Relative difference below which two differences count as equal: sums depend on their order."""


def permutation_test(
    a: Scores, b: Scores, permutations: int = 10_000, seed: int = 0
) -> dict[str, float]:
    """Return the two-sided p-value of "the systems are exchangeable" for each shared metric.

    If they are, exchanging the two captions of any sample changes nothing but chance (Fisher's
    randomization test, as approximate randomization in Noreen, 1989; for BLEU in Riezler and
    Maxwell, 2005). Each permutation exchanges the statistics of a random half of the samples and
    computes the metrics of both sets again, so that it is exact for metrics of a corpus, too. The
    p-value is the share of permutations with at least the observed absolute difference. If there
    are at most ``permutations`` ways to exchange samples, all of them are counted; else one is
    added to both counts (Davison and Hinkley, 1997, section 4.2), so that p is never 0.

    Samples with equal statistics do not matter, because exchanging them changes nothing. A metric
    whose observed difference is not finite, or that is computed from weights, is left out.

    Args:
        a: Scores of the first system.
        b: Scores of the second one: the same families of metrics, for the same samples in order.
        permutations: Number of permutations.
        seed: Seed of the permutations.
    """
    assert a.statistics.shape == b.statistics.shape, "scores of different samples or families"
    first, second = (x.statistics.sum(axis=0, dtype=np.float64) for x in (a, b))
    change = b.statistics.astype(np.float64) - a.statistics
    change = change[change.any(axis=1)]
    rows = len(change)
    exhaustive = rows < 63 and 2**rows <= permutations
    count = 2**rows if exhaustive else permutations
    observed = _differences(a, b, first[None], second[None])
    observed = {name: value for name, value in observed.items() if np.isfinite(value[0])}
    extreme = dict.fromkeys(observed, 0)
    rng = np.random.default_rng(seed)
    step = max(1, _PIECE // max(1, rows))
    for start in range(0, count, step):
        size = min(step, count - start)
        moved = _exchanged(start, size, rows, None if exhaustive else rng) @ change
        found = _differences(a, b, first + moved, second - moved)
        for name, value in observed.items():
            least = np.abs(value[0]) * (1 - _ROUNDING)
            # an undefined metric counts as extreme, which can only raise p
            extreme[name] += size - int((np.abs(found[name]) < least).sum())
    one = 0 if exhaustive else 1
    return {name: (number + one) / (count + one) for name, number in extreme.items()}


def _differences(a: Scores, b: Scores, first: np.ndarray, second: np.ndarray) -> dict:
    """Return the differences of the metrics, [r] each, of two sets of summed statistics [r, k]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = a.reduce(first), b.reduce(second)
        return {name: left[name] - right[name] for name in left if name in right}


def _exchanged(start: int, size: int, rows: int, rng: np.random.Generator | None) -> np.ndarray:
    """Return which rows are exchanged, [size, rows]: the next ones in order, or random ones."""
    if rng is not None:
        bits = np.unpackbits(np.frombuffer(rng.bytes(-(-size * rows // 8)), np.uint8))
        return bits[: size * rows].reshape(size, rows).astype(np.float64)
    numbers = np.arange(start, start + size)[:, None]
    return (numbers >> np.arange(rows) & 1).astype(np.float64)
