"""Retrieval recall in both directions, with per-sample statistics."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from mmtx_cli.metric.scores import Metric, Scores

METRICS = (
    Metric("mean_recall", headline=True),
    Metric(r"r\d+"),
    Metric("median_rank", higher_is_better=False),
    Metric("rank", higher_is_better=False),
)

CUTS = (1, 5, 10)

Ranks = Mapping[str, tuple[Int[np.ndarray, " q"], Int[np.ndarray, " q"]]]
"""By direction ("image_to_text"): the rank of each query, from 0, and the index of its sample."""


def recall_scores(ranks: Ranks, num_samples: int, cuts: Sequence[int] = CUTS) -> Scores:
    """Return recall at each of ``cuts`` for each direction, the mean recall, and median ranks.

    A sample may have several queries (one per caption) or none. They are resampled together because
    they are not independent.

    Returns:
        Scores with the metrics ``image_to_text_r1`` …, ``mean_recall`` and
        ``image_to_text_median_rank`` … (from 1); NaN without queries. The per-sample value is
        the mean rank, from 0, of the sample's queries (NaN without queries).
    """
    columns, per_sample, names = [], {}, []
    for direction, (rank, owner) in ranks.items():
        num_queries = np.bincount(owner, minlength=num_samples)
        columns.append(num_queries)
        columns += [np.bincount(owner, rank < cut, num_samples) for cut in cuts]
        total = np.bincount(owner, rank, num_samples)
        per_sample[f"{direction}_rank"] = np.where(
            num_queries, total / np.maximum(num_queries, 1), np.nan
        )
        names.append(direction)
    statistics = np.stack(columns, axis=1).astype(np.float64)
    return Scores(
        per_sample, statistics, lambda sums: recall_of(sums, names, cuts), median_ranks(ranks)
    )


def recall_of(
    sums: np.ndarray, directions: Sequence[str], cuts: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return the recalls and their mean from sums [..., k]: for each direction the number of
    queries, then the hits at each cut.
    """
    width = 1 + len(cuts)
    with np.errstate(invalid="ignore"):  # recall is undefined without queries
        recalls = {
            f"{name}_r{cut}": sums[..., width * i + offset] / sums[..., width * i]
            for i, name in enumerate(directions)
            for offset, cut in enumerate(cuts, start=1)
        }
    stacked = np.stack(list(recalls.values()))
    num_defined = np.maximum(np.isfinite(stacked).sum(axis=0), 1)
    return recalls | {"mean_recall": np.nansum(stacked, axis=0) / num_defined}


def median_ranks(ranks: Ranks) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function of the sample weights [r, n] that computes the median ranks, from 1."""
    ordered = {}
    for direction, (rank, owner) in ranks.items():
        order = np.argsort(rank, kind="stable")
        ordered[direction] = rank[order] + 1.0, owner[order]

    def weigh(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            f"{direction}_median_rank": np.array(
                [weighted_median(rank, row[owner]) for row in weights]
            )
            for direction, (rank, owner) in ordered.items()
        }

    return weigh


def weighted_median(values: Float[np.ndarray, " q"], counts: Float[np.ndarray, " q"]) -> float:
    """Return the median of sorted values that occur ``counts`` times each.

    It is the mean of the two middle values if their number is even, and NaN if there are none.
    """
    cumulative = counts.cumsum()
    if not cumulative[-1]:
        return math.nan
    halves = (cumulative[-1] - 1) // 2, cumulative[-1] // 2
    index = np.minimum(np.searchsorted(cumulative, halves, side="right"), len(values) - 1)
    return float(values[index].mean())
