"""Token ids of candidates and references, and n-gram counts shared by all caption metrics."""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

MAX_ORDER = 4


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of one order, with one entry for each distinct n-gram of a caption.

    Entries are sorted by n-gram, then by caption, so the entries of one n-gram in one sample are
    contiguous, the candidate's first.
    """

    gram: np.ndarray  # [e] n-gram id, from 0
    caption: np.ndarray  # [e] index of the caption
    count: np.ndarray  # [e] number of occurrences
    group: np.ndarray  # [e] index of the (n-gram, sample) group, increasing from 0
    group_start: np.ndarray  # [g] first entry of each group


@dataclass(frozen=True)
class Corpus:
    """n candidates, each followed by its references: c captions in total."""

    tokens: np.ndarray  # [t] token ids of all captions, concatenated
    length: np.ndarray  # [c] number of tokens of each caption
    sample: np.ndarray  # [c] index of the sample of each caption, increasing
    num_samples: int

    @staticmethod
    def build(candidates: list[list[str]], references: list[list[list[str]]]) -> "Corpus":
        """Build a corpus of n candidates, each with at least one reference."""
        assert len(candidates) == len(references)
        assert all(references), "a sample without references"
        groups = [
            [candidate, *texts] for candidate, texts in zip(candidates, references, strict=True)
        ]
        captions = list(chain.from_iterable(groups))
        different = dict.fromkeys(chain.from_iterable(captions))
        token_ids = {token: number for number, token in enumerate(different)}
        flat = map(token_ids.__getitem__, chain.from_iterable(captions))
        return Corpus(
            np.fromiter(flat, dtype=np.int64),
            np.array([len(caption) for caption in captions], dtype=np.int64),
            np.repeat(np.arange(len(groups)), [len(group) for group in groups]),
            len(groups),
        )

    @cached_property
    def candidate(self) -> np.ndarray:
        """[n] Index of the candidate caption of each sample."""
        return np.flatnonzero(np.diff(self.sample, prepend=-1))

    @cached_property
    def is_candidate(self) -> np.ndarray:
        """[c] Whether each caption is a candidate."""
        return np.diff(self.sample, prepend=-1) != 0

    @cached_property
    def start(self) -> np.ndarray:
        """[c] Start of each caption in ``tokens``."""
        return np.cumsum(self.length) - self.length

    @cached_property
    def ngrams(self) -> tuple[Ngrams, ...]:
        """The n-grams of orders 1 to 4."""
        num_captions = len(self.length)
        caption = np.repeat(np.arange(num_captions, dtype=np.int32), self.length)
        remaining = self.length[caption] - (np.arange(len(self.tokens)) - self.start[caption])
        vocabulary = int(self.tokens.max(initial=-1)) + 1
        position, gram, counted = np.arange(len(self.tokens)), np.zeros_like(self.tokens), []
        for order in range(1, MAX_ORDER + 1):
            longer = remaining[position] >= order
            position = position[longer]
            # an n-gram is identified by the id of its first n - 1 tokens and its last token
            key = gram[longer] * vocabulary + self.tokens[position + order - 1]
            ngrams, gram = _count(key, caption[position], self.sample)
            counted.append(ngrams)
        return tuple(counted)


def _count(key: np.ndarray, caption: np.ndarray, sample: np.ndarray) -> tuple[Ngrams, np.ndarray]:
    """Count the n-grams with these ``key`` values [p] in ``caption`` [p], increasing; p < 2**31.

    Returns:
        The n-grams, and the n-gram id at each position [p].
    """
    order = _stable_order(key)
    key, caption = key[order], caption[order]
    new_gram = _changes(key)
    new_entry = new_gram | _changes(caption)
    gram = np.cumsum(new_gram) - 1
    numbered = np.empty_like(gram)
    numbered[order] = gram
    first = np.flatnonzero(new_entry)
    gram, caption = gram[first], caption[first]
    new_group = _changes(gram) | _changes(sample[caption])
    # four such arrays an order are most of the memory of a large corpus
    ngrams = Ngrams(
        gram.astype(np.int32),
        caption.astype(np.int32),
        np.diff(first, append=len(key)).astype(np.int32),
        (np.cumsum(new_group) - 1).astype(np.int32),
        np.flatnonzero(new_group).astype(np.int32),
    )
    return ngrams, numbered


def _stable_order(key: np.ndarray) -> np.ndarray:
    """Return the order [p] that sorts keys [p] of at least 0; equal ones keep their places.

    NumPy sorts 16 bits at a time in linear time (radix sort), other integers by comparisons.
    """
    order = np.argsort(key.astype(np.uint16), kind="stable")  # the last 16 bits
    for shift in range(16, int(key.max(initial=0)).bit_length(), 16):
        digits = (key >> shift).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order


def _changes(values: np.ndarray) -> np.ndarray:
    """Return a mask [n] that is True at the first value and where a value differs from the
    previous.
    """
    changed = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed
