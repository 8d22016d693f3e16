"""Recall of retrieval in both directions, a row a sample."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from mmtx_cli.metric.scores import Scores

CUTS = (1, 5, 10)

Ranks = Mapping[str, tuple[Int[np.ndarray, " q"], Int[np.ndarray, " q"]]]
"""By direction ("image_to_text") the rank, from 0, of each query, and the number of the sample it
belongs to.
"""


def recall_scores(ranks: Ranks, num_samples: int, cuts: Sequence[int] = CUTS) -> Scores:
    """Recall at each of ``cuts`` of each direction, and the mean of them; median ranks.

    A sample may ask several queries (one a caption) or none: they are resampled together, as they
    are not independent.

    Returns:
        Scores with figures ``image_to_text_r1`` …, ``mean_recall``, and (of the query in the
        middle, from 1) ``image_to_text_median_rank`` …; NaN where nothing is asked. Per sample the
        mean rank, from 0, of its queries (NaN where it asks none).
    """
    columns, per_sample, names = [], {}, []
    for direction, (rank, owner) in ranks.items():
        asked = np.bincount(owner, minlength=num_samples)
        columns.append(asked)
        columns += [np.bincount(owner, rank < cut, num_samples) for cut in cuts]
        total = np.bincount(owner, rank, num_samples)
        per_sample[f"{direction}_rank"] = np.where(asked, total / np.maximum(asked, 1), np.nan)
        names.append(direction)
    statistics = np.stack(columns, axis=1).astype(np.float64)
    return Scores(
        per_sample, statistics, lambda sums: recall_of(sums, names, cuts), median_ranks(ranks)
    )


def recall_of(
    sums: np.ndarray, directions: Sequence[str], cuts: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return the recalls and their mean of sums [..., k]: of each direction the queries, then the
    hits at each cut.
    """
    each = 1 + len(cuts)
    with np.errstate(invalid="ignore"):  # where nothing is asked there is no recall
        recalls = {
            f"{name}_r{cut}": sums[..., each * i + at] / sums[..., each * i]
            for i, name in enumerate(directions)
            for at, cut in enumerate(cuts, start=1)
        }
    every = np.stack(list(recalls.values()))
    asked = np.maximum(np.isfinite(every).sum(axis=0), 1)
    return recalls | {"mean_recall": np.nansum(every, axis=0) / asked}


def median_ranks(ranks: Ranks) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return what gives the median ranks, from 1, of how often each sample counts [r, n]."""
    ordered = {}
    for direction, (rank, owner) in ranks.items():
        order = np.argsort(rank, kind="stable")
        ordered[direction] = rank[order] + 1.0, owner[order]

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            f"{direction}_median_rank": np.array([middle(rank, row[owner]) for row in weights])
            for direction, (rank, owner) in ordered.items()
        }

    return figures


def middle(values: Float[np.ndarray, " q"], counts: Float[np.ndarray, " q"]) -> float:
    """Return the median of sorted values that occur ``counts`` times each.

    Of an even number it is the mean of the two in the middle; NaN where none occurs.
    """
    up_to = counts.cumsum()
    if not up_to[-1]:
        return math.nan
    halves = (up_to[-1] - 1) // 2, up_to[-1] // 2
    places = np.minimum(np.searchsorted(up_to, halves, side="right"), len(values) - 1)
    return float(values[places].mean())
