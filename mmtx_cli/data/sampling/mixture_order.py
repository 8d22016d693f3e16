"""Order of training batches over several corpora, as a pure function of (seed, batch index)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from mmtx_cli.data.sampling.epoch_order import TrainOrder

Lengths = Callable[[int], Int[np.ndarray, " n"]]
"""Maps an epoch to the number of text tokens of every row of all corpora."""

_BLOCK = 1024
"""Number of batches whose corpora are drawn at once."""
_CHOICE = 2**40
"""Philox counter offset for drawing corpora, beyond all epochs, which shuffle with this seed."""


def shares(
    sizes: Sequence[int], weights: Sequence[float] | None, temperature: float
) -> Float[np.ndarray, " c"]:
    """Return the sampling probability of each corpus.

    Proportional to ``weights``, or without them to size ** (1 / ``temperature``): 1 samples in
    proportion to size, and higher values approach equal probabilities (Conneau et al. 2020,
    eq. 1).
    """
    by_size = np.asarray(sizes, dtype=np.float64) ** (1 / temperature)
    raw = by_size if weights is None else np.asarray(weights, dtype=np.float64)
    return raw / raw.sum()


@dataclass
class Stream:
    """Consecutive epochs of one corpus, each of which contains every row once."""

    order: TrainOrder
    first: int
    kept: dict[int, Int[np.ndarray, " n"]] = field(default_factory=dict)

    def rows(self, begin: int, count: int, lengths: Lengths | None) -> Int[np.ndarray, "m 2"]:
        """Return (epoch, global row) for ``count`` positions starting at ``begin``."""
        parts = []
        while count:
            epoch, offset = divmod(begin, self.order.num_samples)
            rows = self.epoch(epoch, lengths)[offset : offset + count]
            parts.append(np.stack([np.full_like(rows, epoch), rows + self.first], axis=1))
            begin, count = begin + len(rows), count - len(rows)
        return np.concatenate(parts)

    def epoch(self, epoch: int, lengths: Lengths | None) -> Int[np.ndarray, " n"]:
        """Return all rows of an epoch, numbered within the corpus; bucketed by length if given."""
        if epoch not in self.kept:
            corpus_slice = slice(self.first, self.first + self.order.num_samples)
            self.kept = {
                epoch: self.order.whole(epoch, lengths(epoch)[corpus_slice] if lengths else None)
            }
        return self.kept[epoch]


class MixtureOrder:
    """Batches over several corpora, whose rows are numbered consecutively.

    Each batch contains one corpus, drawn by its probability, or, with ``mixed``, samples of all
    corpora, each drawn so. Within a corpus, no sample repeats before all have been used.

    Args:
        sizes: Number of rows of each corpus.
        share: Sampling probability of each corpus.
        batch_size: Number of samples in a batch, over all processes.
        seed: Seed of all draws.
        mixed: Whether batches mix corpora.
        orders: Order of the epochs of each corpus (default: random).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        share: Float[np.ndarray, " c"],
        batch_size: int,
        seed: int,
        mixed: bool = False,
        orders: Sequence[TrainOrder] | None = None,
    ) -> None:
        self.sizes, self.share, self.mixed, self.seed = list(sizes), share, mixed, seed
        self.size = batch_size
        self.totals: list[Int[np.ndarray, " c"]] = []  # cumulative counts at the end of each block
        firsts = np.cumsum([0, *sizes[:-1]])
        orders = orders or [TrainOrder(n, batch_size, seed + i) for i, n in enumerate(sizes)]
        self.streams = [
            Stream(order, int(first)) for order, first in zip(orders, firsts, strict=True)
        ]

    def __len__(self) -> int:
        """Return the batches per epoch: all samples divided by the batch size, at least 1."""
        return max(1, sum(self.sizes) // self.size)

    def counts(self, block: int) -> Int[np.ndarray, "k c"]:
        """Return the number of samples of each corpus in every batch of a block."""
        key = np.random.Philox(key=self.seed, counter=[0, 0, block, _CHOICE])
        random = np.random.Generator(key)
        if self.mixed:
            return random.multinomial(self.size, self.share, size=_BLOCK)
        return random.multinomial(1, self.share, size=_BLOCK) * self.size

    def done(self, batches: int) -> Int[np.ndarray, " c"]:
        """Return the number of samples of each corpus in the first ``batches`` batches."""
        blocks, rest = divmod(batches, _BLOCK)
        for block in range(len(self.totals), blocks):
            before = self.totals[-1] if self.totals else np.zeros(len(self.sizes), dtype=np.int64)
            self.totals.append(before + self.counts(block).sum(axis=0))
        whole = self.totals[blocks - 1] if blocks else 0
        return whole + self.counts(blocks)[:rest].sum(axis=0)

    def run(
        self, start: int, total: int, lengths: Lengths | None
    ) -> Iterator[Int[np.ndarray, "b 2"]]:
        """Yield (epoch of its corpus, row) of the samples in batches ``start`` to ``total``."""
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
