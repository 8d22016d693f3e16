"""The texts of a data set, tokenised once and kept flat."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, UInt64

from mmtx_cli.counter_rng import draws
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.data.text.vqa_answers import counted

CAPTION = 1
"""The purpose of the draw that picks a caption."""
SAID = ("captions", "answer_text")
"""The targets that are texts: what a head learns to say word by word."""


class TextColumn:
    """Zero or more tokenised texts a sample, of which an epoch draws one, by their ``weights``
    where there are some.

    One flat array and offsets: a million captions cost what their tokens cost, and workers
    share them.
    """

    def __init__(
        self,
        texts: Sequence[Sequence[str]],
        tokenizer: Tokenizer,
        max_length: int,
        weights: Sequence[Sequence[float]] | None = None,
    ) -> None:
        flat = [text for several in texts for text in several]
        encoded, lengths = tokenizer.encode_measured(flat, max_length)
        self.max_length, self.longest = max_length, max(lengths, default=0)
        self.num_cut = sum(length > max_length for length in lengths)
        self.tokens = np.fromiter((t for e in encoded for t in e), dtype=np.int32)
        self.ends = np.cumsum([0, *(len(e) for e in encoded)])
        self.first = np.cumsum([0, *(len(several) for several in texts)])
        flat_weights = [weight for several in weights or () for weight in several]
        self.weighed = None if weights is None else np.cumsum([0.0, *flat_weights])

    def cut(self, what: str) -> str | None:
        """Say how many texts are cut, if any; ``what`` they are called."""
        if not self.num_cut:
            return None
        return (
            f"{self.num_cut:,} of {len(self.ends) - 1:,} {what} are longer than "
            f"max_length={self.max_length} tokens and are cut; the longest has {self.longest:,}"
        )

    def count(self, row: int) -> int:
        """Texts of a sample."""
        return int(self.first[row + 1] - self.first[row])

    def get(self, row: int, which: int) -> Int[np.ndarray, " l"]:
        """Tokens of one text of a sample."""
        i = self.first[row] + which
        return self.tokens[self.ends[i] : self.ends[i + 1]]

    def drawn(self, seed: int, epoch: int, keys: UInt64[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Which text of each sample this epoch uses (0 where there is none)."""
        count = np.diff(self.first)
        random = draws(seed, epoch, keys, CAPTION)
        if self.weighed is None:
            return (random % np.maximum(count, 1).astype(np.uint64)).astype(np.int64)
        low, high = self.weighed[self.first[:-1]], self.weighed[self.first[1:]]
        point = low + random / 2.0**64 * (high - low)
        which = np.searchsorted(self.weighed, point, side="right") - 1 - self.first[:-1]
        return np.clip(which, 0, np.maximum(count - 1, 0))  # a rounded point may be the end

    def lengths(self, which: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Tokens of the given text of each sample; 0 where there is none."""
        length = np.append(np.diff(self.ends), 0)
        has = np.diff(self.first) > 0
        return np.where(has, length[np.where(has, self.first[:-1] + which, -1)], 0)


def column_texts(
    samples: Sequence[Sample], column: str, own: Mapping[str, str] | None = None
) -> list[tuple[str, ...]]:
    """The texts in ``text`` or ``captions`` of each sample, or in its corpus' ``own`` column.

    ``answer_text``: its answers in their normal form, likeliest first.
    """
    return [texts_of(sample, (own or {}).get(sample.corpus, column)) for sample in samples]


def texts_of(sample: Sample, column: str) -> tuple[str, ...]:
    """The texts in one column of a sample."""
    if column == "answer_text":
        return tuple(counted(sample.answers))
    if column == "captions":
        return sample.captions
    return (sample.text,) if sample.text else ()


def column_weights(samples: Sequence[Sample], column: str) -> list[tuple[float, ...]] | None:
    """How likely an epoch draws each text of ``column_texts``; None for all alike."""
    if column != "answer_text":
        return None
    return [tuple(counted(sample.answers).values()) for sample in samples]
