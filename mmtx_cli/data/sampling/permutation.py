"""Permutation used to shuffle a modality across samples."""

import numpy as np
from jaxtyping import Int


def source_rows(present: np.ndarray, seed: int) -> Int[np.ndarray, " n"]:
    """Return, for each row, the row whose modality it receives: one random cycle.

    The cycle contains all rows that have the modality, so that each is used once and, with two or
    more, none keeps its own. Rows without the modality map to themselves and stay without.

    Args:
        present: [n] bool, whether a row has the modality.
        seed: Equal seeds and rows give equal cycles.
    """
    order = np.random.default_rng(seed).permutation(np.flatnonzero(present))
    source = np.arange(len(present))
    source[order] = np.roll(order, 1)
    return source
