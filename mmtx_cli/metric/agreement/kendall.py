"""Kendall's rank correlation of weighted observations: tau-b and tau-c."""

import numpy as np

from mmtx_cli.metric.agreement.weighted_ranks import Ties


def kendall(x: Ties, y: Ties, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Kendall's tau-b and Stuart's tau-c, [r] each; NaN where x or y is constant.

    An observation of weight w counts as w equal ones, so that the weights can be those of a
    bootstrap. With S = concordant - discordant pairs, N observations and m the smaller number of
    distinct values, tau-b = S / sqrt(pairs not tied in x * pairs not tied in y) (Kendall, 1945) and
    tau-c = 2 S / (N² (m - 1) / m) (Stuart, 1953). It takes O(n log n) for each column of weights.

    Args:
        x: The n values of one variable.
        y: Those of the other one.
        weights: [n, r] whole numbers, in r columns that are computed independently.
    """
    number = weights.sum(axis=0)
    sizes = x.sizes(weights), y.sizes(weights)
    pairs = number * (number - 1) / 2
    untied_x, untied_y = (pairs - (size * (size - 1) / 2).sum(axis=0) for size in sizes)
    distinct = np.minimum(*((size > 0).sum(axis=0) for size in sizes))
    score = _concordant_minus_discordant(x, y, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        tau_b = score / np.sqrt(untied_x) / np.sqrt(untied_y)
        tau_c = 2 * score / (number**2 * (distinct - 1) / distinct)
    constant = distinct < 2
    return np.where(constant, np.nan, tau_b), np.where(constant, np.nan, tau_c)


def _concordant_minus_discordant(x: Ties, y: Ties, weights: np.ndarray) -> np.ndarray:
    """Return S, [r].

    Two levels of y are compared by the highest binary digit in which they differ. For each digit,
    the observations with equal higher digits are passed in the order of x, and each one is paired
    with the earlier ones of the other digit. A few cumulative sums do for all columns.
    """
    score = np.zeros(weights.shape[1])
    for digit in range(int(y.level.max(initial=0)).bit_length()):
        prefix, bit = y.level >> (digit + 1), y.level >> digit & 1
        order = np.lexsort((x.level, prefix))
        new_prefix = np.diff(prefix[order], prepend=-1) != 0
        new_tie = new_prefix | (np.diff(x.level[order], prepend=-1) != 0)
        start = np.flatnonzero(new_tie)
        sorted_weights, is_high = weights[order], bit[order, None]
        both = np.add.reduceat(sorted_weights, start, axis=0)
        high = np.add.reduceat(sorted_weights * is_high, start, axis=0)
        low = both - high
        first = np.flatnonzero(new_prefix[start])
        block = np.cumsum(new_prefix[start]) - 1
        score += np.einsum("gr,gr->r", high, _before(low, first, block))
        score -= np.einsum("gr,gr->r", low, _before(high, first, block))
    return score


def _before(sizes: np.ndarray, first: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return the sum of the earlier groups of the same block, [g, r], from the sizes [g, r].

    Args:
        sizes: Sizes of the groups.
        first: [b] first group of each block.
        block: [g] block of each group.
    """
    total = np.cumsum(sizes, axis=0)
    total -= sizes
    return total - total[first][block]
