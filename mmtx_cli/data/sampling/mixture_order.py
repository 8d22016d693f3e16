"""The order of several corpora that are learned together: a pure function of (seed, batch)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from mmtx_cli.data.sampling.epoch_order import TrainOrder

Lengths = Callable[[int], Int[np.ndarray, " n"]]
"""By epoch: the tokens of the texts of every row of all corpora."""

_BLOCK = 1024
"""Batches whose corpora are drawn together."""
_CHOICE = 2**40
"""Where the draws of corpora begin: beyond the epochs, whose shuffles have the same seed."""


def shares(
    sizes: Sequence[int], weights: Sequence[float] | None, temperature: float
) -> Float[np.ndarray, " c"]:
    """Part of each corpus in what is drawn.

    By its ``weights``, or without them by size to the power of 1 / ``temperature``: at 1 all
    samples are as likely, the higher the more alike are the corpora (Conneau et al. 2020, eq. 1).
    """
    by_size = np.asarray(sizes, dtype=np.float64) ** (1 / temperature)
    raw = by_size if weights is None else np.asarray(weights, dtype=np.float64)
    return raw / raw.sum()


@dataclass
class Stream:
    """The endless run of a corpus' epochs, each of which holds every row once."""

    order: TrainOrder
    first: int
    kept: dict[int, Int[np.ndarray, " n"]] = field(default_factory=dict)

    def rows(self, begin: int, count: int, lengths: Lengths | None) -> Int[np.ndarray, "m 2"]:
        """(epoch, row among those of all corpora) at the places ``begin`` and on."""
        found = []
        while count:
            epoch, at = divmod(begin, self.order.num_samples)
            rows = self.epoch(epoch, lengths)[at : at + count]
            found.append(np.stack([np.full_like(rows, epoch), rows + self.first], axis=1))
            begin, count = begin + len(rows), count - len(rows)
        return np.concatenate(found)

    def epoch(self, epoch: int, lengths: Lengths | None) -> Int[np.ndarray, " n"]:
        """All rows of the corpus, like lengths together where lengths are given."""
        if epoch not in self.kept:
            own = slice(self.first, self.first + self.order.num_samples)
            self.kept = {epoch: self.order.whole(epoch, lengths(epoch)[own] if lengths else None)}
        return self.kept[epoch]


class MixtureOrder:
    """Batches of several corpora, whose rows follow each other: those of the first, the second …

    Every batch holds one corpus, which is drawn by the shares, or with ``mixed`` samples of all,
    each drawn so. A corpus' own samples come in epochs: none is repeated before all were there.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        share: Float[np.ndarray, " c"],
        batch_size: int,
        seed: int,
        mixed: bool = False,
    ) -> None:
        self.sizes, self.share, self.mixed, self.seed = list(sizes), share, mixed, seed
        self.size = batch_size
        self.totals: list[Int[np.ndarray, " c"]] = []  # of the blocks from the first on
        firsts = np.cumsum([0, *sizes[:-1]])
        self.streams = [
            Stream(TrainOrder(size, batch_size, seed + i), int(first))
            for i, (size, first) in enumerate(zip(sizes, firsts, strict=True))
        ]

    def __len__(self) -> int:
        """Batches an epoch: as many as hold as many samples as there are."""
        return max(1, sum(self.sizes) // self.size)

    def counts(self, block: int) -> Int[np.ndarray, "k c"]:
        """How many samples of each corpus every batch of a block of them holds."""
        key = np.random.Philox(key=self.seed, counter=[0, 0, block, _CHOICE])
        random = np.random.Generator(key)
        if self.mixed:
            return random.multinomial(self.size, self.share, size=_BLOCK)
        return random.multinomial(1, self.share, size=_BLOCK) * self.size

    def done(self, batches: int) -> Int[np.ndarray, " c"]:
        """Samples of each corpus in so many batches."""
        blocks, rest = divmod(batches, _BLOCK)
        for block in range(len(self.totals), blocks):
            before = self.totals[-1] if self.totals else np.zeros(len(self.sizes), dtype=np.int64)
            self.totals.append(before + self.counts(block).sum(axis=0))
        whole = self.totals[blocks - 1] if blocks else 0
        return whole + self.counts(blocks)[:rest].sum(axis=0)

    def run(
        self, start: int, total: int, lengths: Lengths | None
    ) -> Iterator[Int[np.ndarray, "b 2"]]:
        """(epoch of its corpus, row) of every sample of the batches ``start`` to ``total``."""
        done = self.done(start)
        for k in range(start, total):
            if k == start or k % _BLOCK == 0:
                counts = self.counts(k // _BLOCK)
            count = counts[k % _BLOCK]
            parts = [
                stream.rows(int(begin), int(number), None if self.mixed else lengths)
                for stream, begin, number in zip(self.streams, done, count, strict=True)
                if number
            ]
            done += count
            yield np.concatenate(parts)
