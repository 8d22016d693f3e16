"""Rows of different lengths, one after the other in one array."""

import numpy as np


def starts(lengths: np.ndarray) -> np.ndarray:
    """Return where each row starts, and the end of the last one: [n + 1]."""
    found = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=found[1:])
    return found


def spread(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return ``first[i], first[i] + 1, …``, ``lengths[i]`` numbers for each i, one after the other.

    Both are arrays [n]; the result has the sum of the lengths.
    """
    begin = np.cumsum(lengths) - lengths
    return np.repeat(first - begin, lengths) + np.arange(int(lengths.sum()))


def order_of(*keys: np.ndarray) -> np.ndarray:
    """Return the stable order by the keys, the first one first; none of them may be negative."""
    packed, largest = np.zeros(len(keys[0]), dtype=np.int64), 1
    for key in keys:
        size = int(key.max(initial=0)) + 1
        largest *= size
        if largest >= 2**63:
            return np.lexsort(keys[::-1])
        packed = packed * size + key
    return np.argsort(packed, kind="stable")
