"""Deterministic finite automata over the bytes of texts in UTF-8.

Shape letters: s states, c codes of pairs of states.
"""

from dataclasses import dataclass, replace

import numpy as np

DEAD = 0
"""The state from which no text is accepted."""
MAX_STATES = 100_000


class TooManyStatesError(ValueError):
    """An automaton has more than ``MAX_STATES`` states."""


@dataclass(frozen=True)
class ByteAutomaton:
    """Accepts some texts.

    Args:
        table: The next state for each state and byte [s, 256].
        accepting: Whether a text that ends in a state is accepted [s].
        start: The first state.
    """

    table: np.ndarray
    accepting: np.ndarray
    start: int

    def accepts(self, text: str) -> bool:
        """Return True if a text is accepted."""
        state = self.start
        for byte in text.encode("utf-8", "surrogatepass"):
            state = self.table[state, byte]
        return bool(self.accepting[state])

    @property
    def empty(self) -> bool:
        """No text is accepted; of an automaton that is ``reduced``."""
        return self.start == DEAD

    def complement(self) -> "ByteAutomaton":
        """Return an automaton that accepts all other sequences of bytes, also invalid ones."""
        return replace(self, accepting=~self.accepting)

    def __and__(self, other: "ByteAutomaton") -> "ByteAutomaton":
        """Return an automaton that accepts what both accept; both are ``reduced``.

        Raises:
            TooManyStatesError: If it is too large.
        """
        size = len(other.table)

        def following(codes: np.ndarray) -> np.ndarray:
            first, second = self.table[codes // size], other.table[codes % size]
            dead = (first == DEAD) | (second == DEAD)
            return np.where(dead, DEAD, first.astype(np.int64) * size + second)

        dead = self.start == DEAD or other.start == DEAD
        start = DEAD if dead else self.start * size + other.start
        found = np.unique(np.array([DEAD, start], dtype=np.int64))
        frontier = found
        while len(frontier):
            frontier = np.setdiff1d(np.unique(following(frontier)), found, assume_unique=True)
            found = np.union1d(found, frontier)
            if len(found) > MAX_STATES:
                raise TooManyStatesError
        table = np.searchsorted(found, following(found)).astype(np.int32)
        accepting = self.accepting[found // size] & other.accepting[found % size]
        return ByteAutomaton(table, accepting, int(np.searchsorted(found, start))).reduced()

    def reduced(self) -> "ByteAutomaton":
        """Return the smallest equivalent automaton (Moore 1956); its state 0 is dead."""
        table = np.concatenate([np.full((1, 256), DEAD), self.table + 1]).astype(np.int32)
        accepting = np.append(False, self.accepting)
        live = accepting
        while not np.array_equal(live, grown := live | live[table].any(axis=1)):
            live = grown
        # states are equivalent if they accept alike and their successors are equivalent; the
        # classes of all successors are compared by a hash, and the result is checked
        weights = np.random.default_rng(0).integers(1, 2**63, size=257, dtype=np.uint64)
        classes, count = live.astype(np.int64) + accepting, 0
        while classes.max() > count:
            count = classes.max()
            columns = np.concatenate([classes[table], classes[:, None]], axis=1)
            hashed = (columns.astype(np.uint64) * weights).sum(axis=1)
            hashed[~live] = 0
            classes = np.unique(hashed, return_inverse=True)[1].reshape(-1)
        first = np.unique(classes, return_index=True)[1]
        assert np.array_equal(classes[table[first]][classes], classes[table]), "hashes collide"
        return ByteAutomaton(
            classes[table[first]].astype(np.int32), accepting[first], int(classes[self.start + 1])
        )

    def after_space(self, required: bool) -> "ByteAutomaton":
        """Return an automaton that accepts each text with a space before it, unless it is
        ``required`` also the text alone, and the empty text.

        No accepted text may begin with a space.
        """
        assert self.table[self.start, ord(" ")] == DEAD
        row = np.zeros_like(self.table[:1]) if required else self.table[[self.start]]
        row[0, ord(" ")] = self.start
        accepting = np.append(self.accepting, self.accepting[self.start])
        return ByteAutomaton(np.concatenate([self.table, row]), accepting, len(self.table))
