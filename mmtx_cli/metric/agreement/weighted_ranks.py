"""Observations in the order of their values, with weights that say how often each one occurs."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ties:
    """n observations sorted into groups of equal values.

    Args:
        level: [n] group of each observation, from 0 in the order of the values.
        order: [n] observations in the order of their groups.
        start: [g] position in ``order`` of the first observation of each group.
    """

    level: np.ndarray
    order: np.ndarray
    start: np.ndarray

    @staticmethod
    def of(values: np.ndarray) -> "Ties":
        """Group equal ``values`` [n]; they must be finite."""
        level = np.unique(values, return_inverse=True)[1].reshape(-1)
        order = np.argsort(level, kind="stable")
        return Ties(level, order, np.flatnonzero(np.diff(level[order], prepend=-1)))

    def sizes(self, weights: np.ndarray) -> np.ndarray:
        """Return the weight of each group, [g, r], from those of the observations [n, r]."""
        return np.add.reduceat(weights[self.order], self.start, axis=0)

    def midranks(self, weights: np.ndarray) -> np.ndarray:
        """Return the mean rank of each group, [g, r], from 1, for weights [n, r]."""
        sizes = self.sizes(weights)
        return np.cumsum(sizes, axis=0) - (sizes - 1) / 2
