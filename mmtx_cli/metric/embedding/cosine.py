"""Cosine similarity of the embeddings of captions and their references."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from mmtx_cli.metric.scores import Metric, Scores

METRICS = (Metric("similarity", headline=True), Metric("similarity_mean"))
"""``similarity``, to the closest reference, is the headline."""

_PIECE = 2**25
"""Numbers of vectors that are compared at a time, which bounds the memory."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of candidates and references as rows of an array of embeddings.

    Args:
        candidates: [n] row of each candidate.
        references: [m] row of each reference, those of a candidate one after the other.
        counts: [n] number of references of each candidate, at least 1.
    """

    candidates: Int[np.ndarray, " n"]
    references: Int[np.ndarray, " m"]
    counts: Int[np.ndarray, " n"]

    @property
    def starts(self) -> Int[np.ndarray, " n"]:
        """Index of the first reference of each candidate."""
        return np.cumsum(self.counts) - self.counts

    def cosines(self, unit: Float[np.ndarray, "u d"]) -> Float[np.ndarray, " m"]:
        """Return the cosine of each reference with its candidate, from vectors of length 1."""
        left = np.repeat(self.candidates, self.counts)
        return cosines(unit, left, unit, self.references)

    def best(self, values: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
        """Return the largest value among the references of each candidate."""
        return np.maximum.reduceat(values, self.starts)


def cosines(
    left: Float[np.ndarray, "u d"],
    left_rows: Int[np.ndarray, " m"],
    right: Float[np.ndarray, "v d"],
    right_rows: Int[np.ndarray, " m"],
) -> Float[np.ndarray, " m"]:
    """Return the cosine of each pair of rows, in [-1, 1].

    Args:
        left: Vectors of length 1.
        left_rows: Row of each pair in ``left``.
        right: Vectors of length 1.
        right_rows: Row of each pair in ``right``.
    """
    found = np.empty(len(left_rows))
    step = max(1, _PIECE // left.shape[1])
    for i in range(0, len(found), step):
        a, b = left[left_rows[i : i + step]], right[right_rows[i : i + step]]
        found[i : i + step] = np.einsum("md,md->m", a, b, dtype=np.float64)
    return found.clip(-1, 1)


def similarity_scores(
    unit: Float[np.ndarray, "u d"], pairs: Pairs, is_empty: Bool[np.ndarray, " n"]
) -> Scores:
    """Return ``similarity`` (to the closest reference) and ``similarity_mean`` (of all of them).

    Args:
        unit: Embeddings, of length 1.
        pairs: Candidates and references.
        is_empty: Which candidates are empty; they score 0.
    """
    values = pairs.cosines(unit)
    best, mean = pairs.best(values), np.add.reduceat(values, pairs.starts) / pairs.counts
    return Scores.means(
        {
            "similarity": np.where(is_empty, 0, best),
            "similarity_mean": np.where(is_empty, 0, mean),
        }
    )
