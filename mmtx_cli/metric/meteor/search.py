"""METEOR's search for the best alignment: a beam over the words of the reference, left to right.

All pairs of texts are searched at once: their partial alignments are rows of the same arrays.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from mmtx_cli.metric.meteor.matches import Matches
from mmtx_cli.metric.meteor.ragged import order_of, spread, starts

BEAM = 40
_GAIN = (2, 1, 1, 1)
"""Twice the weight of a matched word by stage; only the search uses these weights."""


@dataclass(frozen=True)
class _Paths:
    """n partial alignments, by pair, of one pair in order of preference.

    Args:
        pair: [n] number of the pair of texts.
        gain: [n] weighted number of matched words; the more, the better.
        chunks: [n] number of chunks that ended.
        distance: [n] sum of distances, of the matches that were tried and not taken.
        after: [n] word of the reference after the last match.
        end: [n] word of the candidate after the last match; -1 after a word without a match.
        used: [n, w] words of the candidate in use, as bits.
        trail: [n] last match, a row of ``_Trail``; -1 if there is none.
    """

    pair: np.ndarray
    gain: np.ndarray
    chunks: np.ndarray
    distance: np.ndarray
    after: np.ndarray
    end: np.ndarray
    used: np.ndarray
    trail: np.ndarray

    def take(self, rows: np.ndarray) -> "_Paths":
        return _Paths(*(getattr(self, field.name)[rows] for field in fields(self)))

    def ranked(self) -> "_Paths":
        """Sort the paths of each pair: more words, then fewer chunks, then a smaller distance."""
        if len(self.pair) > 1 and (self.pair[1:] == self.pair[:-1]).any():
            best = self.gain.max()
            return self.take(order_of(self.pair, best - self.gain, self.chunks, self.distance))
        return self


class _Trail:
    """The matches of all partial alignments, as lists that share their beginnings."""

    def __init__(self) -> None:
        self.before: list[np.ndarray] = [np.zeros(0, np.int64)]
        self.match: list[np.ndarray] = [np.zeros(0, np.int64)]
        self.size = 0

    def add(self, before: np.ndarray, match: np.ndarray) -> np.ndarray:
        """Add matches after these rows; return their rows."""
        self.before.append(before)
        self.match.append(match)
        self.size += len(match)
        return np.arange(self.size - len(match), self.size)

    def matches(self, rows: np.ndarray) -> np.ndarray:
        """Return the matches of the lists that end in these rows."""
        before, match = np.concatenate(self.before), np.concatenate(self.match)
        found = []
        while len(rows := rows[rows >= 0]):
            found.append(match[rows])
            rows = before[rows]
        return np.concatenate([np.zeros(0, np.int64), *found])


def best_alignments(matches: Matches, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the matches of the best alignment of each pair of texts.

    Args:
        matches: All matches of p pairs.
        lengths: [p, 2] number of words of the candidates and of the references.

    Returns:
        Whether each match [m] is part of the alignment, and the number of chunks [p].
    """
    search = _Search(matches, lengths)
    chunks = np.zeros(len(lengths), dtype=np.int64)
    trails = np.full(len(lengths), -1)
    zeros = np.zeros(len(lengths), dtype=np.int64)
    used = np.zeros((len(lengths), search.mask.shape[1]), dtype=np.uint64)
    paths = _Paths(np.arange(len(lengths)), *[zeros] * 4, zeros - 1, used, zeros - 1)
    for current in range(int(lengths[:, 1].max(initial=0)) + 1):
        paths = paths.ranked()
        new_pair = np.diff(paths.pair, prepend=-1) != 0
        first = np.flatnonzero(new_pair)
        rank = np.arange(len(paths.pair)) - first[np.cumsum(new_pair) - 1]
        paths = paths.take(np.flatnonzero(rank < BEAM))
        is_complete = lengths[paths.pair, 1] == current
        complete = paths.take(np.flatnonzero(is_complete))
        best = replace(complete, chunks=complete.chunks + (complete.end >= 0)).ranked()
        best = best.take(np.flatnonzero(np.diff(best.pair, prepend=-1)))
        chunks[best.pair], trails[best.pair] = best.chunks, best.trail
        paths = search.step(paths.take(np.flatnonzero(~is_complete)), current)
    chosen = search.is_definite
    chosen[search.trail.matches(trails)] = True
    return chosen, chunks


class _Search:
    """The matches of all pairs, arranged for the search."""

    def __init__(self, matches: Matches, lengths: np.ndarray) -> None:
        self.trail = _Trail()
        self.matches = matches
        self.gain = ((matches.length * np.array(_GAIN)[matches.stage][:, None]) // 2).sum(axis=1)
        self.distance = np.abs(matches.start[:, 0] - matches.start[:, 1])
        self.offset = starts(lengths[:, 1])
        place = self.offset[matches.pair] + matches.start[:, 1]
        self.count = np.bincount(place, minlength=int(self.offset[-1]))
        self.first = starts(self.count)
        self.is_definite = _definite(matches, lengths, self.count[place] == 1)
        self.definite = np.full(int(self.offset[-1]), -1)
        definite = np.flatnonzero(self.is_definite)
        self.definite[place[definite]] = definite
        self.mask = _masks(matches, int(lengths[:, 0].max(initial=1)))

    def step(self, paths: _Paths, current: int) -> _Paths:
        """Extend all paths by the word ``current`` of the reference."""
        place = self.offset[paths.pair] + current
        free = current >= paths.after
        definite = np.where(free, self.definite[place], -1)
        is_open = free & (definite < 0)
        row = np.flatnonzero(is_open & (self.count[place] > 0))
        number = self.count[place[row]]
        match = spread(self.first[place[row]], number)
        row = np.repeat(row, number)
        usable = np.flatnonzero(~(paths.used[row] & self.mask[match]).any(axis=1))
        row, match = row[usable], match[usable]
        tried = np.cumsum(self.distance[match])
        before = np.concatenate([[0], tried])[np.searchsorted(row, row)]
        distance = paths.distance[row] + tried - self.distance[match] - before
        total = np.bincount(row, self.distance[match], minlength=len(paths.pair))
        longer = self._matched(replace(paths.take(row), distance=distance), match)
        longer = replace(longer, trail=self.trail.add(longer.trail, match))
        taken = np.flatnonzero(definite >= 0)
        kept = _put(paths, taken, self._matched(paths.take(taken), definite[taken]))
        kept = replace(
            kept,
            chunks=kept.chunks + (is_open & (kept.end >= 0)),
            end=np.where(is_open, -1, kept.end),
            distance=paths.distance + total.astype(np.int64),
        )
        if not len(row):
            return kept
        # each path comes after the longer ones that were made of it
        order = np.argsort(np.concatenate([row * 2, np.arange(len(paths.pair)) * 2 + 1]), kind="stable")
        return _joined(longer, kept).take(order)

    def _matched(self, paths: _Paths, match: np.ndarray) -> _Paths:
        """Return the paths, each with one more match."""
        start, length = self.matches.start[match], self.matches.length[match]
        return replace(
            paths,
            gain=paths.gain + self.gain[match],
            chunks=paths.chunks + ((paths.end >= 0) & (paths.end != start[:, 0])),
            after=start[:, 1] + length[:, 1],
            end=start[:, 0] + length[:, 0],
            used=paths.used | self.mask[match],
        )


def _put(paths: _Paths, rows: np.ndarray, changed: _Paths) -> _Paths:
    if not len(rows):
        return paths
    values = {}
    for field in fields(paths):
        values[field.name] = getattr(paths, field.name).copy()
        values[field.name][rows] = getattr(changed, field.name)
    return _Paths(**values)


def _joined(*parts: _Paths) -> _Paths:
    return _Paths(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(_Paths))
    )


def _definite(matches: Matches, lengths: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Return which matches are the only ones of all their words [m]; the search takes them all."""
    definite = alone.copy()
    for side in (0, 1):
        offset = starts(lengths[:, side])
        place = offset[matches.pair] + matches.start[:, side]
        length = matches.length[:, side]
        words = spread(place, length)
        covered = np.bincount(words, minlength=int(offset[-1]))
        shared = np.bincount(
            np.repeat(np.arange(len(length)), length), covered[words] != 1, len(length)
        )
        definite &= shared == 0
    return definite


def _masks(matches: Matches, longest: int) -> np.ndarray:
    """Return the words of the candidate in each match as bits [m, w] of 64-bit numbers."""
    length = matches.length[:, 0]
    row = np.repeat(np.arange(len(length)), length)
    word = spread(matches.start[:, 0], length)
    masks = np.zeros((len(length), max((longest + 63) // 64, 1)), dtype=np.uint64)
    # no word twice in a match, so adding sets the bits
    np.add.at(masks, (row, word // 64), np.left_shift(np.uint64(1), (word % 64).astype(np.uint64)))
    return masks
