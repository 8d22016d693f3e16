"""Order of training and evaluation batches, as a pure function of (seed, epoch, batch index)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

POOL = 50
"""Batches sorted by length together: enough for equal lengths, few enough to stay random."""


@dataclass(frozen=True)
class TrainOrder:
    """Shuffled global batches; with ``lengths``, samples of similar length share a batch.

    Samples that do not fill a batch are left out of that epoch; a data set smaller than a batch
    forms one batch. ``batch_size`` is the total over all processes.
    """

    num_samples: int
    batch_size: int
    seed: int

    @property
    def size(self) -> int:
        """Number of samples in each batch."""
        return min(self.batch_size, self.num_samples)

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return self.num_samples // self.size

    def epoch(
        self, epoch: int, lengths: Int[np.ndarray, " n"] | None = None
    ) -> Int[np.ndarray, "k b"]:
        """Return the row indices of all batches of an epoch, in order."""
        rows = self.whole(epoch, lengths)[: len(self) * self.size]
        return rows.reshape(len(self), self.size)

    def whole(
        self, epoch: int, lengths: Int[np.ndarray, " n"] | None = None
    ) -> Int[np.ndarray, " n"]:
        """Return all row indices of an epoch, with the incomplete batch last."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, epoch]))
        rows = rng.permutation(self.num_samples)
        if lengths is None:
            return rows
        return self._bucketed(rng, rows, lengths)

    def _bucketed(
        self, rng: np.random.Generator, rows: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, " n"]:
        """Return shuffled rows in batches of similar lengths, in random order."""
        full = len(self) * self.size
        batches = by_length(rows[:full], lengths, self.size * POOL).reshape(len(self), self.size)
        return np.concatenate([batches[rng.permutation(len(self))].flatten(), rows[full:]])

    def run(
        self, start: int, total: int, lengths: Callable[[int], np.ndarray] | None
    ) -> Iterator[Int[np.ndarray, "b 2"]]:
        """Yield (epoch, row) of the samples in batches ``start`` to ``total`` over all epochs."""
        k = start
        while k < total:
            epoch, first = divmod(k, len(self))
            batches = self.epoch(epoch, lengths(epoch) if lengths else None)
            for batch in batches[first : first + total - k]:
                yield np.stack([np.full_like(batch, epoch), batch], axis=1)
                k += 1


def by_length(
    rows: Int[np.ndarray, " m"], lengths: Int[np.ndarray, " n"], pool: int
) -> Int[np.ndarray, " m"]:
    """Sort the rows by length within each pool of ``pool`` shuffled rows."""
    parts = [rows[i : i + pool] for i in range(0, len(rows), pool)]
    return np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])


def rank_slice(batch: Int[np.ndarray, "b *k"], rank: int, world: int) -> Int[np.ndarray, "r *k"]:  # noqa: F821
    """Return a process's equal share of a global batch."""
    share = len(batch) // world
    return batch[rank * share : (rank + 1) * share]


def evaluation_batches(
    lengths: Int[np.ndarray, " n"],
    batch_size: int,
    rank: int,
    world: int,
    corpora: Shaped[np.ndarray, " n"] | None = None,
) -> Iterator[Int[np.ndarray, " b"]]:
    """Return this process's batches of a pass over all rows, longest texts of each corpus first.

    Starting with the longest reveals out-of-memory errors early. Batches do not depend on the
    number of processes, since a contrastive loss depends on the samples in a batch. A process may
    get no batch.

    Args:
        lengths: Number of text tokens of each row.
        batch_size: Maximum number of rows in a batch.
        rank: Index of this process.
        world: Number of processes.
        corpora: Corpus of each row; batches do not mix corpora.
    """
    rows = np.argsort(-lengths, kind="stable")
    names = np.zeros_like(lengths) if corpora is None else corpora
    batches = [
        corpus_rows[i : i + batch_size]
        for name in dict.fromkeys(names.tolist())
        for corpus_rows in [rows[names[rows] == name]]
        for i in range(0, len(corpus_rows), batch_size)
    ]
    return iter(batches[rank::world])
