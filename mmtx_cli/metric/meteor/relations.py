"""Which words and phrases of a set of texts METEOR takes for the same, and in which stage."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmtx_cli.metric.meteor.paraphrases import ParaphraseTable
from mmtx_cli.metric.meteor.ragged import order_of, spread, starts
from mmtx_cli.metric.meteor.synonyms import Synonyms

_FILTER_BITS = 24
_MIX = 0x9E3779B1


@dataclass(frozen=True)
class Texts:
    """Distinct texts as numbers of words.

    Args:
        vocabulary: The words, by number.
        tokens: [t] numbers of the words of all texts, one text after the other.
        first: [n + 1] where each text starts in ``tokens``.
    """

    vocabulary: list[str]
    tokens: np.ndarray
    first: np.ndarray

    @staticmethod
    def build(texts: Sequence[Sequence[str]]) -> "Texts":
        """Number the words of texts."""
        numbers: dict[str, int] = {}
        flat = [numbers.setdefault(word, len(numbers)) for text in texts for word in text]
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        return Texts(list(numbers), np.array(flat, dtype=np.int64), starts(lengths))

    @cached_property
    def length(self) -> np.ndarray:
        """[n] Number of words of each text."""
        return np.diff(self.first)


@dataclass(frozen=True)
class Occurrences:
    """Where units (words, and phrases of several words) occur in the texts.

    Args:
        unit: Number of the unit, sorted by text.
        position: Its first word, counted from the start of the text.
        length: Its number of words.
        first: [n + 1] where the units of each text start.
    """

    unit: np.ndarray
    position: np.ndarray
    length: np.ndarray
    first: np.ndarray


@dataclass(frozen=True)
class Relation:
    """Pairs of units of which one may be aligned with the other, sorted by ``key``.

    Args:
        num_units: Number of units.
        key: (unit of the reference) * ``num_units`` + (unit of the candidate); may repeat.
        kind: 0, 1, 2 for exact, stem and synonym; 3 if the candidate has a paraphrase of the
            reference's phrase, 4 for the reverse.
        rank: Of a paraphrase: its place among the paraphrases of its phrase.
    """

    num_units: int
    key: np.ndarray
    kind: np.ndarray
    rank: np.ndarray

    @cached_property
    def _filter(self) -> np.ndarray:
        """A table of bits that are set for the hashes of all keys."""
        bits = min(len(self.key).bit_length() + 5, _FILTER_BITS)
        table = np.zeros(2**bits, dtype=bool)
        table[self._hash(self.key, len(table))] = True
        return table

    @staticmethod
    def _hash(key: np.ndarray, size: int) -> np.ndarray:
        # wraps around: only the low bits matter
        return (key * _MIX >> 12) & (size - 1)

    def lookup(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places in ``key`` that are related, and the entry of each relation.

        A place appears once for every entry of its key.
        """
        place = np.flatnonzero(self._filter[self._hash(key, len(self._filter))])
        distinct, inverse = np.unique(key[place], return_inverse=True)
        low = np.searchsorted(self.key, distinct)
        count = np.searchsorted(self.key, distinct, side="right") - low
        count = count[inverse]
        return np.repeat(place, count), spread(low[inverse], count)


def relate(
    texts: Texts,
    stem: Callable[[str], str] | None,
    synonyms: Synonyms | None,
    paraphrases: ParaphraseTable | None,
) -> tuple[Occurrences, Relation]:
    """Find the units of the texts and the relation between them; a stage without data is left out.

    Only phrases that have a relation are units.

    Args:
        texts: The texts.
        stem: Gives the stem of a word.
        synonyms: WordNet.
        paraphrases: The table of paraphrases.
    """
    words = np.arange(len(texts.vocabulary))
    entries = [(words, words, np.zeros_like(words), np.zeros_like(words))]
    if stem is not None:
        groups = ((stem(word),) for word in texts.vocabulary)
        entries.append(_sharing(groups, 1))
    if synonyms is not None:
        entries.append(_sharing(map(synonyms.sets, texts.vocabulary), 2))
    tokens = len(texts.tokens)
    text = np.repeat(np.arange(len(texts.length)), texts.length)
    place, unit, length = np.arange(tokens), texts.tokens, np.ones(tokens, dtype=np.int64)
    num_units = len(words)
    if paraphrases is not None and tokens:
        (more_place, more_unit, more_length), pairs = _phrases(texts, text, paraphrases)
        entries += pairs
        place, unit = np.concatenate([place, more_place]), np.concatenate([unit, more_unit])
        length = np.concatenate([length, more_length])
        num_units = max(num_units, int(unit.max()) + 1)
    of_reference, of_candidate, kind, rank = map(np.concatenate, zip(*entries, strict=True))
    key = of_reference * num_units + of_candidate
    order = order_of(key, kind, rank)
    relation = Relation(num_units, key[order], kind[order], rank[order])
    own = text[place]
    by_text = np.argsort(own, kind="stable")
    place, own = place[by_text], own[by_text]
    occurrences = Occurrences(
        unit[by_text].astype(np.int32),
        (place - texts.first[own]).astype(np.int32),
        length[by_text].astype(np.int32),
        starts(np.bincount(own, minlength=len(texts.length))),
    )
    return occurrences, relation


_Entries = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _sharing(groups: Iterable[Iterable[str]], kind: int) -> _Entries:
    """Return the pairs of different words that share a group."""
    members = defaultdict(list)
    for word, own in enumerate(groups):
        for group in own:
            members[group].append(word)
    pairs = {
        (left, right)
        for words in members.values()
        if len(words) > 1
        for left in words
        for right in words
        if left != right
    }
    left, right = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    return left, right, np.full(len(left), kind), np.zeros(len(left), dtype=np.int64)


def _phrases(
    texts: Texts, text: np.ndarray, table: ParaphraseTable
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], list[_Entries]]:
    """Return the phrases of several words that have a relation, and the relations by paraphrase.

    Returns:
        Place in the tokens, unit and length of each phrase; and the entries of the relation.
    """
    remaining = texts.first[text + 1] - np.arange(len(texts.tokens))
    found = table.occurrences(texts.vocabulary, texts.tokens, remaining)
    phrase, paraphrase, rank = table.pairs(np.unique(np.concatenate([node for _, node in found])))
    related = np.union1d(phrase, paraphrase)
    # numbers of units: a word's own number, or the next ones for phrases of several words
    unit_of = np.full(table.num_nodes, -1)
    several = related[related >= len(table.words)]
    unit_of[several] = len(texts.vocabulary) + np.arange(len(several))
    position, node = found[0]
    unit_of[node] = texts.tokens[position]
    places, units, lengths = [], [], []
    for length, (position, node) in enumerate(found[1:], start=2):
        chosen = unit_of[node] >= 0
        places.append(position[chosen])
        units.append(unit_of[node[chosen]])
        lengths.append(np.full(len(units[-1]), length))
    phrase, paraphrase = unit_of[phrase], unit_of[paraphrase]
    entries = [
        (phrase, paraphrase, np.full(len(phrase), 3), rank),
        (paraphrase, phrase, np.full(len(phrase), 4), rank),
    ]
    empty = [np.zeros(0, dtype=np.int64)]
    joined = tuple(np.concatenate(part or empty) for part in (places, units, lengths))
    return (joined[0], joined[1], joined[2]), entries
