"""METEOR's search for the best alignment: a beam over the words of the reference, left to right.

All pairs of texts are searched at once: their partial alignments are rows of the same arrays.
"""

from dataclasses import dataclass

import numpy as np

from mmtx_cli.errors import DataError
from mmtx_cli.metric.meteor.matches import Matches
from mmtx_cli.metric.meteor.ragged import spread, starts
from mmtx_cli.metric.meteor.tries import BEAM, Candidates

_GAIN = np.array((2, 1, 1, 1))
"""Twice the weight of a matched word by stage; only the search uses these weights."""
_MANY = 4
"""Times the beam: with more paths per pair of texts, not all of them are sorted."""
_NONE, _DEFINITE, _OPEN = 0, 1, 2
"""What starts at a word of the reference: no match, one that all paths take, or some to choose."""


@dataclass(frozen=True)
class _Paths:
    """n partial alignments, by pair of texts, those of a pair in order of preference.

    Args:
        key: [n] their order, see ``_Keys``.
        after: [n] word of the reference after the last match.
        end: [n] word of the candidate after the last match; -1 after a word without a match.
        used: [n, w] words of the candidate in use, as bits.
        trail: [n] last match that was chosen, a row of ``_Trail``; -1 if there is none.
    """

    key: np.ndarray
    after: np.ndarray
    end: np.ndarray
    used: np.ndarray
    trail: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "_Paths":
        return _Paths(
            self.key[rows], self.after[rows], self.end[rows], self.used[rows], self.trail[rows]
        )


class _Keys:
    """Numbers that sort the paths: the pair, then more words, fewer chunks, less distance.

    The distance is the sum of those of the matches that were tried and not taken, as in METEOR.
    """

    def __init__(self, matches: Matches, lengths: np.ndarray) -> None:
        pairs = len(lengths)
        self.distance = np.abs(matches.start[:, 0] - matches.start[:, 1])
        farthest = int(np.bincount(matches.pair, self.distance, minlength=pairs).max(initial=0))
        most = int(lengths.sum(axis=1).max(initial=0))
        # powers of two, so that the pair is found by a shift
        bits = [size.bit_length() for size in (farthest, int(lengths.max(initial=0)) + 1, most)]
        self.chunk = 1 << bits[0]
        self.word = self.chunk << bits[1]
        self.bits = sum(bits)
        if self.bits + pairs.bit_length() > 63:
            raise DataError(
                f"metrics: meteor cannot compare texts of {int(lengths.max())} words that repeat "
                "the same ones; shorten them, or leave out this metric"
            )
        self.first = (np.arange(pairs) << self.bits) + most * self.word


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
        lengths: [p, 2] number of words of the candidates and of the references, in ascending order
            of the latter.

    Returns:
        Whether each match [m] is part of the alignment, and the number of chunks [p].
    """
    search = _Search(matches, lengths)
    keys = search.keys
    chunks, trails = np.zeros((2, len(lengths)), dtype=np.int64)
    none = np.full(len(lengths), -1)
    used = np.zeros((len(lengths), search.width), dtype=np.uint64)
    paths = _Paths(keys.first, none + 1, none, used, none)
    complete = 0
    for current in range(int(lengths[:, 1].max(initial=0)) + 1):
        before, complete = complete, int(np.searchsorted(lengths[:, 1], current, side="right"))
        if complete > before:
            rows = int(np.searchsorted(paths.key, complete << keys.bits))
            done, paths = paths.take(slice(rows)), paths.take(slice(rows, None))
            key = done.key + (done.end >= 0) * keys.chunk
            pair = key >> keys.bits
            first = np.flatnonzero(np.diff(pair, prepend=-1))
            least = np.minimum.reduceat(key, first)
            best = np.flatnonzero(key == least[pair - before])
            best = best[np.searchsorted(best, first)]
            chunks[before:complete] = (least & (keys.word - 1)) // keys.chunk
            trails[before:complete] = done.trail[best]
        if complete < len(lengths):
            paths = search.step(paths, current)
    chosen = search.is_definite
    chosen[search.trail.matches(trails)] = True
    return chosen, chunks


class _Search:
    """The matches of all pairs, arranged for the search."""

    def __init__(self, matches: Matches, lengths: np.ndarray) -> None:
        gain = ((matches.length * _GAIN[matches.stage][:, None]) // 2).sum(axis=1)
        self.keys = _Keys(matches, lengths)
        self.trail = _Trail()
        self.gain = gain * self.keys.word
        self.start, self.end = matches.start[:, 0], matches.start[:, 0] + matches.length[:, 0]
        self.after = matches.start[:, 1] + matches.length[:, 1]
        self.offset = starts(lengths[:, 1])
        place = self.offset[matches.pair] + matches.start[:, 1]
        self.candidates = Candidates(matches, place, int(self.offset[-1]), gain)
        count = self.candidates.count
        self.is_definite = _definite(matches, lengths, count[place] == 1)
        self.state = np.where(count > 0, _OPEN, _NONE).astype(np.int8)
        self.state[place[self.is_definite]] = _DEFINITE
        self.width = (int(lengths[:, 0].max(initial=1)) + 63) // 64

    def step(self, paths: _Paths, current: int) -> _Paths:
        """Extend all paths by the word ``current`` of the reference, and keep the best ones."""
        place = self.offset[paths.key >> self.keys.bits] + current
        state = self.state[place]
        state[paths.after > current] = -1
        key, end, after = paths.key.copy(), paths.end.copy(), paths.after
        skips = state >= 0
        definite = np.flatnonzero(state == _DEFINITE)
        if len(definite):
            skips[definite] = False
            match = self.candidates.first[place[definite]]
            key[definite] = self._key(key[definite], end[definite], match)
            end[definite] = self.end[match]
            after = after.copy()
            after[definite] = self.after[match]
        key += (skips & (end >= 0)) * self.keys.chunk
        end[skips] = -1
        tries = self.candidates.tried(paths.used, paths.end, np.flatnonzero(state == _OPEN), place)
        row, match = tries.row, tries.match
        longer = self._key(paths.key[row], paths.end[row], match) + tries.before
        key += tries.total
        unchanged = _Paths(key, after, end, paths.used, paths.trail)
        if not len(row) and (key[1:] >= key[:-1]).all():
            return unchanged
        # each path comes after the longer ones that were made of it
        number = np.bincount(row, minlength=len(key))
        order = np.empty(len(key) + len(row), dtype=np.int64)
        order[np.cumsum(number) + np.arange(len(key))] = np.arange(len(key))
        order[row + np.arange(len(row))] = np.arange(len(key), len(order))
        best = order[self._best(np.concatenate([key, longer])[order])]
        # only the best paths are made: there may be thousands of others
        is_longer = best >= len(key)
        made = best[is_longer] - len(key)
        source, match = best.copy(), match[made]
        source[is_longer] = row[made]
        found = unchanged.take(source)
        found.key[is_longer] = longer[made]
        found.after[is_longer], found.end[is_longer] = self.after[match], self.end[match]
        found.used[is_longer] |= self.candidates.masks.whole(match, found.used.shape[1])
        found.trail[is_longer] = self.trail.add(found.trail[is_longer], match)
        return found

    def _key(self, key: np.ndarray, end: np.ndarray, match: np.ndarray) -> np.ndarray:
        """Return the keys of paths that take one more match."""
        breaks = (end >= 0) & (end != self.start[match])
        changed: np.ndarray = key - self.gain[match] + breaks * self.keys.chunk
        return changed

    def _best(self, key: np.ndarray) -> np.ndarray:
        """Return the best paths of each pair, sorted: rows of ``key``, which is by pair."""
        pair = key >> self.keys.bits
        first = np.flatnonzero(np.diff(pair, prepend=-1))
        rows = np.arange(len(key))
        if len(key) > _MANY * BEAM * len(first):
            # few of many paths are kept: those up to the last of them are sorted
            ends = [*first[1:], len(key)]
            limits = [
                np.partition(key[begin:end], min(BEAM, end - begin) - 1)[min(BEAM, end - begin) - 1]
                for begin, end in zip(first, ends, strict=True)
            ]
            rows = np.flatnonzero(key <= np.repeat(limits, np.diff([*first, len(key)])))
        ranked = rows[np.argsort(key[rows], kind="stable")]
        pair = pair[ranked]
        kept = np.ones(len(pair), dtype=bool)
        kept[BEAM:] = pair[BEAM:] != pair[:-BEAM]
        return ranked[kept]


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
