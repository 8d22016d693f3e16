"""Rules that change the scores of the next tokens, as those of ``generation/rules.py``.

Shape letters: b inputs, k texts per input, t tokens, v vocabulary.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.stride_tricks import sliding_window_view

from mmtx_cli.generation.numpy.arrays import occurs

Scores = Float[np.ndarray, "b k v"]
Tokens = Int[np.ndarray, "b k t"]
Length = Int[np.ndarray, " b"]
Rule = Callable[[Scores, Tokens, Length], Scores]
"""Returns changed scores of the next tokens, given the tokens so far and their number."""


class RepetitionPenalty:
    """Divides positive scores of tokens that the text has by a penalty, and multiplies negative
    ones by it (Keskar et al. 2019).
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def __call__(self, scores: Scores, tokens: Tokens, length: Length) -> Scores:
        """Change the scores of the tokens that were generated."""
        written = np.arange(tokens.shape[2]) < length[:, None, None]
        seen = occurs(tokens, np.broadcast_to(written, tokens.shape), scores.shape[2])
        changed = np.where(scores < 0, scores * self.penalty, scores / self.penalty)
        return np.where(seen, changed, scores).astype(scores.dtype)


class NoRepeatNgram:
    """Forbids tokens that would complete an n-gram that the text already has."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, scores: Scores, tokens: Tokens, length: Length) -> Scores:
        """Forbid the tokens that followed the last n - 1 ones before."""
        n = self.size
        if tokens.shape[2] < n:
            return scores
        windows = sliding_window_view(tokens, n, axis=2)
        place = np.maximum(length[:, None] - (n - 1) + np.arange(n - 1), 0)
        places = np.broadcast_to(place[:, None], (*tokens.shape[:2], n - 1))
        last = np.take_along_axis(tokens, places, axis=2)
        same = (windows[..., : n - 1] == last[:, :, None]).all(axis=3)
        same &= (np.arange(windows.shape[2]) + n <= length[:, None])[:, None]
        return np.where(occurs(windows[..., -1], same, scores.shape[2]), -np.inf, scores)


class MinLength:
    """Forbids the end of texts that have fewer than a number of tokens."""

    def __init__(self, count: int, eos: int) -> None:
        self.count, self.eos = count, eos

    def __call__(self, scores: Scores, tokens: Tokens, length: Length) -> Scores:
        """Forbid the end token."""
        changed = scores.copy()
        changed[length < self.count, :, self.eos] = -np.inf
        return changed
