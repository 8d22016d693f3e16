"""Who lends a modality to whom, when it is shuffled among the samples."""

import numpy as np
from jaxtyping import Int


def lenders(has: np.ndarray, seed: int) -> Int[np.ndarray, " n"]:
    """Return for each row the row that it borrows from: one random cycle of those that have any.

    So each lends once, and with two or more nobody keeps its own. Rows that have nothing to
    lend are their own lenders: they stay without.

    Args:
        has: [n] bool, whether a row has the modality.
        seed: Equal seeds and rows give equal cycles.
    """
    order = np.random.default_rng(seed).permutation(np.flatnonzero(has))
    source = np.arange(len(has))
    source[order] = np.roll(order, 1)
    return source
