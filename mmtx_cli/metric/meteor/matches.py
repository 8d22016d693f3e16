"""All matches between candidates and references, in the order in which METEOR finds them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmtx_cli.metric.meteor.ragged import order_of, spread
from mmtx_cli.metric.meteor.relations import Occurrences, Relation

_COMPARED = 500_000
"""Pairs of units that are compared at once: few enough for the processor's cache."""


@dataclass(frozen=True)
class Matches:
    """m matches of p pairs of texts, by pair and by their start in the reference.

    Args:
        pair: [m] number of the pair of texts.
        start: [m, 2] first word in the candidate and in the reference.
        length: [m, 2] number of words in the candidate and in the reference.
        stage: [m] 0 to 3: exact, stem, synonym, paraphrase.
    """

    pair: np.ndarray
    start: np.ndarray
    length: np.ndarray
    stage: np.ndarray


def batches(
    occurrences: Occurrences, lengths: np.ndarray, pairs: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield rows of ``pairs`` [p, 2] (candidate, reference) that are compared at once.

    They are sorted by the length of the reference, and those with long candidates are apart: the
    words in use of a candidate are bits of as many numbers as the longest one needs.
    """
    numbers = (lengths[pairs[:, 0]] + 63) // 64
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        rows = rows[np.argsort(lengths[pairs[rows, 1]], kind="stable")]
        for part in _parts(occurrences, pairs[rows]):
            yield rows[part]


def _parts(occurrences: Occurrences, pairs: np.ndarray) -> Iterator[slice]:
    count = np.diff(occurrences.first)[pairs]
    total = np.cumsum(count[:, 0] * count[:, 1])
    begin = 0
    while begin < len(pairs):
        before = int(total[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(total, before + _COMPARED)), begin + 1)
        yield slice(begin, end)
        begin = end


def find_matches(occurrences: Occurrences, relation: Relation, pairs: np.ndarray) -> Matches:
    """Return all matches of the pairs of texts [p, 2] (candidate, reference).

    Texts that are equal have exact matches only.
    """
    count = np.diff(occurrences.first)[pairs]
    # a row for each unit of each candidate, with all the units of the reference
    own = spread(occurrences.first[pairs[:, 0]], count[:, 0])
    pair = np.repeat(np.arange(len(pairs)), count[:, 0])
    partners = count[pair, 1]
    other = spread(occurrences.first[pairs[pair, 1]], partners)
    key = occurrences.unit[other] * np.int64(relation.num_units)
    key += np.repeat(occurrences.unit[own], partners)
    place, entry = relation.lookup(key)
    row = np.searchsorted(np.cumsum(partners), place, side="right")
    pair, own, other = pair[row], own[row], other[place]
    kind, rank = relation.kind[entry], relation.rank[entry]
    allowed = (kind == 0) | (pairs[pair, 0] != pairs[pair, 1])
    start = np.stack([occurrences.position[own], occurrences.position[other]], axis=1)
    length = np.stack([occurrences.length[own], occurrences.length[other]], axis=1)
    # of one start in the reference: words from left to right; phrases of the reference by length,
    # their paraphrases in the order of the table, then their places; phrases of the candidate from
    # left to right, by length, then in the order of the table
    forward, backward = kind == 3, kind == 4
    first = np.where(forward, length[:, 1], start[:, 0])
    second = np.where(forward, rank, length[:, 0] * backward)
    third = np.where(forward, start[:, 0], rank * backward)
    chosen = np.flatnonzero(allowed)
    keys = [part[chosen] for part in (pair, start[:, 1], kind, first, second, third)]
    chosen = chosen[order_of(*keys)]
    return Matches(pair[chosen], start[chosen], length[chosen], np.minimum(kind[chosen], 3))
