"""Automata over the tokens of a vocabulary, with the number of tokens to the end of a text.

Shape letters: s states, v vocabulary, n some tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mmtx_cli.generation.constraint.byte_automaton import (
    DEAD,
    ByteAutomaton,
    TooManyStatesError,
)

FAR = np.iinfo(np.int32).max // 2
"""Number of tokens to the end of a text that cannot be completed."""
MAX_TRANSITIONS = 200_000_000
"""Largest number of pairs of a state and a token that are computed before generation."""
KEPT = 512
"""Number of states whose tokens are kept."""


@dataclass(frozen=True)
class Following:
    """The tokens that may follow in a state.

    Args:
        tokens: Their numbers, in increasing order [n].
        states: The states that follow them [n].
        distance: The least number of tokens behind each of them up to the end of a text [n].
    """

    tokens: np.ndarray
    states: np.ndarray
    distance: np.ndarray


class TokenAutomaton:
    """Which sequences of tokens make a text that an automaton accepts.

    In every state with a finite ``distance`` there is a token that leads to one with a smaller
    distance, so a text within a limit can always be completed.
    """

    def __init__(self, automaton: ByteAutomaton, tokens: Sequence[bytes | None]) -> None:
        """``tokens`` are the bytes of each token; None for tokens that may not occur.

        Raises:
            TooManyStatesError: If there are too many states for this vocabulary.
        """
        self.automaton = automaton
        usable = sorted((bytes_, i) for i, bytes_ in enumerate(tokens) if bytes_)
        self.numbers = np.array([i for _, i in usable], dtype=np.int64)
        self.length = np.array([len(bytes_) for bytes_, _ in usable], dtype=np.int64)
        longest = int(self.length.max(initial=1))
        joined = b"".join(bytes_.ljust(longest, b"\0") for bytes_, _ in usable)
        self.bytes = np.frombuffer(joined, dtype=np.uint8).reshape(len(usable), longest)
        self.first = np.searchsorted(self.bytes[:, 0], np.arange(257))
        self.single = np.zeros(256, dtype=bool)
        self.single[self.bytes[self.length == 1, 0]] = True
        self.distance = self._distances()
        self.following = lru_cache(maxsize=KEPT)(self._following)

    @property
    def start(self) -> int:
        """The state of the empty text."""
        return self.automaton.start

    def reached(self, state: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens that may follow, as places in the sorted vocabulary, and the states
        that they lead to.
        """
        table, row = self.automaton.table, self.automaton.table[state]
        places = [np.arange(self.first[b], self.first[b + 1]) for b in np.flatnonzero(row)]
        place = np.concatenate(places) if places else np.empty(0, dtype=np.int64)
        states = row[self.bytes[place, 0]]
        for i in range(1, self.bytes.shape[1]):
            longer = self.length[place] > i
            if not longer.any():
                break
            states[longer] = table[states[longer], self.bytes[place[longer], i]]
            kept = states != DEAD
            place, states = place[kept], states[kept]
        return place, states

    def _following(self, state: int) -> Following:
        place, states = self.reached(state)
        tokens, distance = self.numbers[place], self.distance[states]
        order = np.argsort(tokens)
        return Following(tokens[order], states[order], distance[order])

    def next_state(self, state: int, token: int) -> int:
        """Return the state after a token; DEAD if it may not follow."""
        found = self.following(state)
        place = int(np.searchsorted(found.tokens, token))
        there = place < len(found.tokens) and found.tokens[place] == token
        return int(found.states[place]) if there else DEAD

    def _distances(self) -> np.ndarray:
        """Return the number of tokens from each state to the end of a text.

        Within a character, only tokens of a single byte are considered, so the number is an upper
        bound there; else there would be too many states.
        """
        table, accepting = self.automaton.table, self.automaton.accepting
        pending = pending_bytes(self.automaton)
        whole, inside = np.flatnonzero(pending == 0), np.flatnonzero(pending > 0)
        rows, work = [], 0
        for state in whole:
            place, states = self.reached(int(state))
            rows.append(np.unique(states))
            work += len(place)
            if work > MAX_TRANSITIONS:
                raise TooManyStatesError
        flat = np.concatenate([np.array([DEAD]), *rows])
        ends = np.cumsum([1, *map(len, rows)])[:-1]
        filled = np.array([len(row) > 0 for row in rows], dtype=bool)
        distance = np.where(accepting, 0, FAR).astype(np.int32)
        bytes_ = np.flatnonzero(self.single)
        while True:
            new = distance.copy()
            if filled.any():
                least = np.minimum.reduceat(distance[flat], ends[filled])
                new[whole[filled]] = np.minimum(new[whole[filled]], least + 1)
            if len(inside) and len(bytes_):
                least = distance[table[np.ix_(inside, bytes_)]].min(axis=1)
                new[inside] = np.minimum(new[inside], least + 1)
            new = np.minimum(new, FAR)
            if np.array_equal(new, distance):
                return distance
            distance = new


def pending_bytes(automaton: ByteAutomaton) -> np.ndarray:
    """Return how many bytes of a character are missing in each state; -1 if it is not reached."""
    table = automaton.table
    pending = np.full(len(table), -1)
    pending[automaton.start] = 0
    frontier = np.array([automaton.start])
    lead = np.zeros(256, dtype=np.int64)  # bytes that follow the first one of a character
    lead[0xC0:0xE0], lead[0xE0:0xF0], lead[0xF0:] = 1, 2, 3
    while len(frontier):
        following = table[frontier]
        missing = np.where(pending[frontier, None] > 0, pending[frontier, None] - 1, lead)
        new = (following != DEAD) & (pending[following] < 0)
        pending[following[new]] = missing[new]
        frontier = np.unique(following[new])
    pending[DEAD] = -1
    return pending
