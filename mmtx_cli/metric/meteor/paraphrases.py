"""A table of paraphrases as a few arrays, in which phrases are found word by word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_WORDS = 15
"""Longest phrase of a table."""


@dataclass(frozen=True)
class ParaphraseTable:
    """Pairs of phrases with the same meaning, in the order of their file.

    A phrase is a node of a prefix tree: that of one word is the word's number; that of n words has
    the key (node of its first n - 1 words) * (number of words) + (last word). Nodes are numbered
    level by level, in the order of their keys.

    Args:
        words: [w] the words, by number.
        levels: For each number of words from 2 on, the sorted keys of its nodes (int64).
        first: [nodes + 1] where the paraphrases of each phrase start in ``paraphrases`` (int32).
        paraphrases: Nodes of the paraphrases of all phrases (int32).
    """

    words: Sequence[str]
    levels: Sequence[np.ndarray]
    first: np.ndarray
    paraphrases: np.ndarray

    @property
    def num_nodes(self) -> int:
        """Return the number of phrases and of their prefixes."""
        return len(self.first) - 1

    def occurrences(
        self, vocabulary: Sequence[str], tokens: np.ndarray, remaining: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Find the phrases of the table, and prefixes of them, in texts.

        Args:
            vocabulary: The words of the texts, by number.
            tokens: [t] numbers of the words of all texts, one text after the other.
            remaining: [t] number of words from each one to the end of its text.

        Returns:
            For each number of words, the positions in ``tokens`` and the nodes of the phrases that
            start there.
        """
        numbers = dict(zip(self.words, range(len(self.words)), strict=True))
        # 32 bits: millions of texts have tens of millions of phrases
        own = np.array([numbers.get(word, -1) for word in vocabulary], dtype=np.int32)[tokens]
        position = np.flatnonzero(own >= 0).astype(np.int32)
        node = own[position]
        found, offset = [(position, node)], len(self.words)
        for length, keys in enumerate(self.levels, start=2):
            longer = remaining[position] >= length
            position, node = position[longer], node[longer]
            last = own[position + length - 1]
            position, key = position[last >= 0], node.astype(np.int64)[last >= 0]
            key = key * len(self.words) + last[last >= 0]
            distinct, inverse = np.unique(key, return_inverse=True)
            place = np.minimum(np.searchsorted(keys, distinct), max(len(keys) - 1, 0))
            is_node = keys[place] == distinct if len(keys) else np.zeros(len(distinct), bool)
            known = is_node[inverse]
            position = position[known]
            node = (offset + place).astype(np.int32)[inverse[known]]
            # the key of a longer phrase refers to the node within all levels
            found.append((position, node))
            offset += len(keys)
        return found

    def pairs(self, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pairs of the table whose phrases are both in ``present``, sorted nodes [n].

        Returns:
            Phrase, paraphrase, and the paraphrase's rank among those of its phrase, [pairs] each.
        """
        start, count = self.first[present], np.diff(self.first)[present]
        total = int(count.sum())
        rank = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        paraphrase = self.paraphrases[np.repeat(start, count) + rank]
        is_present = np.zeros(self.num_nodes, dtype=bool)
        is_present[present] = True
        chosen = np.flatnonzero(is_present[paraphrase])
        return np.repeat(present, count)[chosen], paraphrase[chosen], rank[chosen]


def build_table(
    words: Sequence[str],
    phrases: tuple[np.ndarray, np.ndarray],
    references: np.ndarray,
    paraphrases: np.ndarray,
) -> ParaphraseTable:
    """Return the table of pairs of phrases.

    Args:
        words: The words, by number.
        phrases: The words of all phrases, one phrase after the other, and the length of each one.
        references: [pairs] number of the phrase that has the paraphrase.
        paraphrases: [pairs] number of the phrase that is the paraphrase.
    """
    tokens, lengths = phrases
    starts = np.cumsum(lengths) - lengths
    node = tokens[starts].astype(np.int64)
    offset, levels = len(words), []
    for length in range(2, int(lengths.max(initial=1)) + 1):
        longer = np.flatnonzero(lengths >= length)
        key = node[longer] * len(words) + tokens[starts[longer] + length - 1]
        keys, inverse = np.unique(key, return_inverse=True)
        levels.append(keys)
        node[longer] = offset + inverse
        offset += len(keys)
    of_reference, of_paraphrase = node[references], node[paraphrases]
    order = np.argsort(of_reference, kind="stable")
    first = np.zeros(offset + 1, dtype=np.int32)
    np.cumsum(np.bincount(of_reference, minlength=offset), out=first[1:])
    return ParaphraseTable(words, levels, first, of_paraphrase[order].astype(np.int32))
