"""Spearman's rank correlation of weighted observations."""

import numpy as np

from mmtx_cli.metric.agreement.weighted_ranks import Ties


def spearman(x: Ties, y: Ties, weights: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of mean ranks (Spearman, 1904), [r]; NaN if one is constant.

    Args:
        x: The n values of one variable.
        y: Those of the other one.
        weights: [n, r] whole numbers: how often each observation occurs.
    """
    middle = (weights.sum(axis=0) + 1) / 2
    first, second = (ties.midranks(weights) - middle for ties in (x, y))
    covariance = np.einsum("nr,nr,nr->r", weights, first[x.level], second[y.level])
    variances = [
        np.einsum("gr,gr->r", ties.sizes(weights), ranks**2)
        for ties, ranks in ((x, first), (y, second))
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        result = covariance / np.sqrt(variances[0]) / np.sqrt(variances[1])
    constant = np.minimum(*variances) <= 0
    return np.where(constant, np.nan, result)
