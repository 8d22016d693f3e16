"""Chance level of retrieval: the expected recall of a random order."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.metric.retrieval.equal_texts import correct_pairs
from mmtx_cli.metric.retrieval.recall import CUTS, recall_of
from mmtx_cli.metric.scores import Scores

Queries = Mapping[str, tuple[Int[np.ndarray, " q"], int, Int[np.ndarray, " q"]]]
"""By direction: the number of correct items of each query, the number of items, and the index of
the sample of each query.
"""


def correct_counts(
    a_groups: Int[Tensor, " n"], b_groups: Int[Tensor, " m"], text_id: Int[Tensor, " m"]
) -> tuple[tuple[Int[Tensor, " n"], int], tuple[Int[Tensor, " m"], int]]:
    """Return the number of correct items for each of ``a`` and the number of distinct items in
    ``b``, and the same for ``b`` among ``a``.

    Correct items and equal ``text_id`` are those of ``dedup_ranks``; the count is 0 without any.
    """
    (item, text), has_item = correct_pairs(a_groups, b_groups, text_id)
    distinct = int(text_id.max()) + 1 if len(text_id) else 0
    a_counts = item.bincount(minlength=len(a_groups))
    b_counts = text.bincount(minlength=distinct)[text_id].masked_fill(~has_item, 0)
    return (a_counts, distinct), (b_counts, len(a_groups))


def chance_scores(queries: Queries, num_samples: int, cuts: Sequence[int] = CUTS) -> Scores:
    """Return the expected recalls of ``recall_scores`` if the order of the items is random."""
    columns = []
    for num_correct, items, owner in queries.values():
        columns.append(np.bincount(owner, minlength=num_samples))
        columns += [
            np.bincount(owner, hit_probability(num_correct, items, cut), num_samples)
            for cut in cuts
        ]
    statistics = np.stack(columns, axis=1).astype(np.float64)
    return Scores({}, statistics, lambda sums: recall_of(sums, list(queries), cuts))


def hit_probability(
    num_correct: Int[np.ndarray, " q"], items: int, cut: int
) -> Float[np.ndarray, " q"]:
    """Return the probability that any of ``num_correct`` items is among the first ``cut`` of all.

    It is 1 - C(items - right, cut) / C(items, cut), the hypergeometric probability of a hit.
    """
    drawn = np.arange(min(cut, items))
    missed = np.clip(items - num_correct[:, None] - drawn, 0, None) / (items - drawn)
    return 1 - missed.prod(axis=1)  # type: ignore[no-any-return]
