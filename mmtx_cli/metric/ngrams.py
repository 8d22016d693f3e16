"""Candidates and their references as numbers, and their n-grams counted once for all metrics."""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

MAX_ORDER = 4


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of one order: an entry for each one that a caption has.

    Entries are sorted by n-gram, then by caption; so the entries of one n-gram in one sample lie
    together, the candidate's first.
    """

    gram: np.ndarray  # [e] its number, from 0
    caption: np.ndarray  # [e] the caption that has it
    count: np.ndarray  # [e] how often
    group: np.ndarray  # [e] the number of its (n-gram, sample), rising from 0
    group_start: np.ndarray  # [g] the first entry of each


@dataclass(frozen=True)
class Corpus:
    """n candidates, each followed by its references: c captions, one after another."""

    tokens: np.ndarray  # [t] the number of each token of all captions
    length: np.ndarray  # [c] tokens of each caption
    sample: np.ndarray  # [c] the sample a caption belongs to, rising
    num_samples: int

    @staticmethod
    def build(candidates: list[list[str]], references: list[list[list[str]]]) -> "Corpus":
        """Return n candidates and their references, at least one each, with numbered tokens."""
        assert len(candidates) == len(references)
        assert all(references), "a sample without references"
        groups = [[candidate, *own] for candidate, own in zip(candidates, references, strict=True)]
        captions = list(chain.from_iterable(groups))
        numbers: dict[str, int] = {}
        flat = [numbers.setdefault(t, len(numbers)) for t in chain.from_iterable(captions)]
        return Corpus(
            np.array(flat, dtype=np.int64),
            np.array([len(caption) for caption in captions], dtype=np.int64),
            np.repeat(np.arange(len(groups)), [len(group) for group in groups]),
            len(groups),
        )

    @cached_property
    def candidate(self) -> np.ndarray:
        """[n] The caption that is the candidate of each sample."""
        return np.flatnonzero(np.diff(self.sample, prepend=-1))

    @cached_property
    def is_candidate(self) -> np.ndarray:
        """[c] True for the captions that are candidates."""
        return np.diff(self.sample, prepend=-1) != 0

    @cached_property
    def start(self) -> np.ndarray:
        """[c] Where each caption begins in ``tokens``."""
        return np.cumsum(self.length) - self.length

    @cached_property
    def ngrams(self) -> tuple[Ngrams, ...]:
        """The n-grams of orders 1 to 4."""
        num_captions = len(self.length)
        caption = np.repeat(np.arange(num_captions), self.length)
        left = self.length[caption] - (np.arange(len(self.tokens)) - self.start[caption])
        vocabulary = int(self.tokens.max(initial=-1)) + 1
        at, gram, found = np.arange(len(self.tokens)), np.zeros_like(self.tokens), []
        for order in range(1, MAX_ORDER + 1):
            longer = left[at] >= order
            at = at[longer]
            # an n-gram is named by its first n - 1 tokens, numbered already, and its last
            key = gram[longer] * vocabulary + self.tokens[at + order - 1]
            ngrams, gram = _count(key, caption[at], self.sample, num_captions)
            found.append(ngrams)
        return tuple(found)


def _count(
    key: np.ndarray, caption: np.ndarray, sample: np.ndarray, num_captions: int
) -> tuple[Ngrams, np.ndarray]:
    """Count the n-grams named by ``key`` [p] at places in ``caption`` [p]; number each place."""
    if (int(key.max(initial=0)) + 1) * num_captions >= 2**63:
        key = np.unique(key, return_inverse=True)[1]
    order = np.argsort(key * num_captions + caption)
    key, caption = key[order], caption[order]
    new_gram = _changes(key)
    new_entry = new_gram | _changes(caption)
    gram = np.cumsum(new_gram) - 1
    numbered = np.empty_like(gram)
    numbered[order] = gram
    first = np.flatnonzero(new_entry)
    gram, caption = gram[first], caption[first]
    new_group = _changes(gram) | _changes(sample[caption])
    ngrams = Ngrams(
        gram,
        caption,
        np.diff(first, append=len(key)),
        np.cumsum(new_group) - 1,
        np.flatnonzero(new_group),
    )
    return ngrams, numbered


def _changes(values: np.ndarray) -> np.ndarray:
    """Return True [n] where a value differs from the one before, and for the first."""
    changed = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed
