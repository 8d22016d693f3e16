"""The matches that partial alignments can take at a word of the reference."""

from dataclasses import dataclass

import numpy as np

from mmtx_cli.metric.meteor.matches import Matches
from mmtx_cli.metric.meteor.ragged import spread, starts

BEAM = 40
ONE_BY_ONE = 100
"""Matches of one word from which those that cannot be among the best paths are left out early."""


@dataclass(frozen=True)
class Tries:
    """t matches that n partial alignments can take, by alignment and in METEOR's order.

    Args:
        row: [t] the partial alignment.
        match: [t] the match.
        before: [t] sum of the distances of the matches of the same row that come before.
        total: [n] sum of the distances of all matches that each row can take.
    """

    row: np.ndarray
    match: np.ndarray
    before: np.ndarray
    total: np.ndarray


class Candidates:
    """The matches of all pairs of texts, by word of the reference.

    Args:
        matches: The matches, sorted by their place.
        place: [m] word of the reference of each match, counted over all pairs.
        size: Number of words of all references.
        gain: [m] by how much a match improves an alignment.
    """

    def __init__(self, matches: Matches, place: np.ndarray, size: int, gain: np.ndarray) -> None:
        self.distance = np.abs(matches.start[:, 0] - matches.start[:, 1]).astype(np.int64)
        self.count = np.bincount(place, minlength=size)
        self.first = starts(self.count)
        self.start = matches.start[:, 0]
        self.masks = Masks(matches)
        most = np.zeros(size, dtype=np.int64)
        np.maximum.at(most, place, gain)
        self._has_most = gain == most[place]

    def tried(
        self, used: np.ndarray, end: np.ndarray, rows: np.ndarray, place: np.ndarray
    ) -> Tries:
        """Return the matches that some partial alignments can take.

        Args:
            used: [n, w] words of the candidate in use, as bits.
            end: [n] word of the candidate after the last match.
            rows: The alignments to extend.
            place: [n] word of the reference at which a match has to start.
        """
        places = place[rows]
        if len(rows) and self.count[places[0]] >= ONE_BY_ONE and (places == places[0]).all():
            return self._tried_at(used, end, rows, int(places[0]))
        number = self.count[places]
        match = spread(self.first[places], number)
        row = np.repeat(rows, number)
        usable = np.flatnonzero(~self.masks.clash(used, row, match))
        row, match = row[usable], match[usable]
        distance = self.distance[match]
        tried = np.cumsum(distance)
        begin = np.searchsorted(row, row)
        total = np.bincount(row, distance, minlength=len(used)).astype(np.int64)
        return Tries(row, match, tried - distance - (tried[begin] - distance[begin]), total)

    def _tried_at(self, used: np.ndarray, end: np.ndarray, rows: np.ndarray, place: int) -> Tries:
        """Return what ``tried`` does, at one place, without matches that cannot be kept.

        A match that does not continue the last one is worse than those before it that improve the
        alignment most, so that it is not needed after as many of them as the beam is wide.
        """
        own = slice(int(self.first[place]), int(self.first[place + 1]))
        usable = self.masks.free(used[rows], own)
        distance = self.distance[own]
        tried = np.cumsum(usable * distance, axis=1)
        better = np.cumsum(usable & self._has_most[own], axis=1, dtype=np.int32)
        continues = self.start[own] == end[rows][:, None]
        needed = np.flatnonzero(usable & ((better <= BEAM) | continues))
        row, match = np.divmod(needed, len(distance))  # faster than to look for both
        total = np.zeros(len(used), dtype=np.int64)
        total[rows] = tried[:, -1]
        return Tries(rows[row], match + own.start, tried[row, match] - distance[match], total)


class Masks:
    """The words of the candidate in each match, as bits of one 64-bit number or two."""

    def __init__(self, matches: Matches) -> None:
        start, length = matches.start[:, 0].astype(np.int64), matches.length[:, 0]
        shift = (start % 64).astype(np.uint64)
        # a phrase has fewer than 64 words, so it reaches at most into the next number
        bits = (np.uint64(1) << length.astype(np.uint64)) - np.uint64(1)
        self.number = start // 64
        self.low = bits << shift
        self.high = bits >> np.uint64(1) >> (np.uint64(63) - shift)
        self._overlaps = bool(self.high.any())

    def clash(self, used: np.ndarray, row: np.ndarray, match: np.ndarray) -> np.ndarray:
        """Return whether a word of each match is in use: in ``used[row]`` [n, w], as bits."""
        number = self.number[match]
        clash: np.ndarray = (used[row, number] & self.low[match]) != 0
        if self._overlaps:
            following = np.minimum(number + 1, used.shape[1] - 1)
            clash |= (used[row, following] & self.high[match]) != 0
        return clash

    def free(self, used: np.ndarray, own: slice) -> np.ndarray:
        """Return whether no word of each match in ``own`` [m] is in ``used`` [n, w]: [n, m]."""
        number = self.number[own]
        free: np.ndarray = (np.take(used, number, axis=1) & self.low[own]) == 0
        if self._overlaps:
            following = np.minimum(number + 1, used.shape[1] - 1)
            free &= (np.take(used, following, axis=1) & self.high[own]) == 0
        return free

    def whole(self, match: np.ndarray, width: int) -> np.ndarray:
        """Return the words of each match as bits [n, width]."""
        masks = np.zeros((len(match), width), dtype=np.uint64)
        masks[np.arange(len(match)), self.number[match]] = self.low[match]
        reaching = np.flatnonzero(self.high[match])
        masks[reaching, self.number[match[reaching]] + 1] = self.high[match[reaching]]
        return masks
