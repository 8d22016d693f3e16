"""CIDEr-D of single captions, as the reward of self-critical training."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmtx_cli.metric.cider import SCALE, SIGMA
from mmtx_cli.metric.ngrams import MAX_ORDER

Words = Sequence[str]
Ngram = tuple[str, ...]
END = "\n"
"""The end of a caption as a word: no word contains a line break."""
CACHED = 20_000
"""Samples whose references are kept as vectors, some 10 kB each; those of others are computed each
time."""


@dataclass(frozen=True)
class Vectors:
    """Tf-idf vectors of the r references of a sample."""

    weights: Mapping[Ngram, Sequence[tuple[int, float]]]
    """The references that have an n-gram, by index, and its weight in them."""
    norms: Sequence[Sequence[float]]
    """[r, order] Lengths of the vectors."""
    lengths: Sequence[int]
    """[r] Numbers of words."""


class CiderReward:
    """CIDEr-D (Vedantam et al. 2015) of a caption against the references of its sample.

    The document frequencies are those of the training references, and do not depend on the captions
    that are scored together. With ``end``, the end of a caption is a word: a caption that breaks
    off ("a dog on a") has n-grams that no reference has, while without it the scores reward to
    break off before an unsure word (Guo et al. 2018; github.com/ruotianluo/self-critical.pytorch).

    Args:
        training: Tokenized references of the training samples, by id.
        others: References of further samples that can be scored.
        end: Whether the end of a caption counts as a word.
    """

    def __init__(
        self,
        training: Mapping[str, Sequence[Words]],
        others: Mapping[str, Sequence[Words]] | None = None,
        end: bool = True,
    ) -> None:
        self.end = end
        self.references = {**(others or {}), **training}
        self.log_count = math.log(max(1, len(training)))
        # n-grams of a single sample weigh as much as those of none
        counts = Counter(gram for texts in training.values() for gram in self.grams_of_any(texts))
        self.rarity = {g: self.log_count - math.log(n) for g, n in counts.items() if n > 1}
        self.cache: dict[str, Vectors] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> "CiderReward":
        return self  # only its cache is ever modified, so copies share it

    def __contains__(self, sample: str) -> bool:
        """Return True if captions of the sample can be scored."""
        return sample in self.references

    def grams_of_any(self, texts: Iterable[Words]) -> set[Ngram]:
        """Return the n-grams that any of the texts has."""
        return {gram for text in texts for gram in counted(self.whole(text, True))}

    def whole(self, words: Words, ended: bool) -> Words:
        """Return the words of a text with its end, if that counts."""
        return [*words, END] if self.end and ended else words

    def weighted(self, words: Words) -> list[tuple[Ngram, float]]:
        """Return the n-grams of a text with their tf-idf weights."""
        rarity, unseen = self.rarity.get, self.log_count
        return [(gram, count * rarity(gram, unseen)) for gram, count in counted(words).items()]

    def vectors(self, sample: str) -> Vectors:
        """Return the vectors of the references of a sample."""
        if (known := self.cache.get(sample)) is not None:
            return known
        weights: defaultdict[Ngram, list[tuple[int, float]]] = defaultdict(list)
        norms, lengths = [], []
        for i, text in enumerate(self.references[sample]):
            words = self.whole(text, True)
            squares = [0.0] * MAX_ORDER
            for gram, weight in self.weighted(words):
                weights[gram].append((i, weight))
                squares[len(gram) - 1] += weight * weight
            norms.append([math.sqrt(x) for x in squares])
            lengths.append(len(words))
        vectors = Vectors(dict(weights), norms, lengths)
        if len(self.cache) < CACHED:
            self.cache[sample] = vectors
        return vectors

    def score(self, sample: str, words: Words, ended: bool = True) -> float:
        """Return CIDEr-D, in [0, 10].

        Args:
            sample: Id of the sample.
            words: The words of the caption.
            ended: Whether the caption has an end, or was cut off at its maximum length.
        """
        own, text = self.vectors(sample), self.whole(words, ended)
        squares = [0.0] * MAX_ORDER
        products = [[0.0] * MAX_ORDER for _ in own.lengths]
        for gram, weight in self.weighted(text):
            order = len(gram) - 1
            squares[order] += weight * weight
            for i, other in own.weights.get(gram, ()):
                products[i][order] += min(weight, other) * other
        norms = [math.sqrt(x) for x in squares]
        total = 0.0
        for product, other_norms, length in zip(products, own.norms, own.lengths, strict=True):
            # the penalty counts bigrams, as in the COCO code
            difference = max(len(text) - 1, 0) - max(length - 1, 0)
            penalty = math.exp(-(difference**2) / (2 * SIGMA**2))
            for order in range(MAX_ORDER):
                if product[order]:
                    total += penalty * product[order] / (norms[order] * other_norms[order])
        return SCALE * total / MAX_ORDER / len(own.lengths)


def counted(words: Words) -> Counter[Ngram]:
    """Return how often each n-gram of orders 1 to 4 occurs."""
    shifted = [words[i:] for i in range(MAX_ORDER)]
    found: Counter[Ngram] = Counter()
    for order in range(1, MAX_ORDER + 1):
        found.update(zip(*shifted[:order], strict=False))
    return found
