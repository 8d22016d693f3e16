"""What the k-th global batch of an epoch holds: a pure function of (seed, epoch, k)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

POOL = 50
"""Batches that are sorted by length together: enough to even lengths out, few enough to mix."""


@dataclass(frozen=True)
class TrainOrder:
    """Shuffled global batches; with ``lengths``, samples of like length share a batch.

    A remainder smaller than a batch waits for another epoch's shuffle; a data set smaller than a
    batch is one batch. ``batch_size`` counts the samples of all processes together.
    """

    num_samples: int
    batch_size: int
    seed: int

    @property
    def size(self) -> int:
        """Samples in each batch."""
        return min(self.batch_size, self.num_samples)

    def __len__(self) -> int:
        """Batches an epoch."""
        return self.num_samples // self.size

    def epoch(
        self, epoch: int, lengths: Int[np.ndarray, " n"] | None = None
    ) -> Int[np.ndarray, "k b"]:
        """Row numbers of every batch of an epoch, in order."""
        rows = self.whole(epoch, lengths)[: len(self) * self.size]
        return rows.reshape(len(self), self.size)

    def whole(
        self, epoch: int, lengths: Int[np.ndarray, " n"] | None = None
    ) -> Int[np.ndarray, " n"]:
        """Row numbers of an epoch that leaves none out: the remainder comes last."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, epoch]))
        rows = rng.permutation(self.num_samples)
        if lengths is None:
            return rows
        full = len(self) * self.size
        batches = by_length(rows[:full], lengths, self.size * POOL).reshape(len(self), self.size)
        return np.concatenate([batches[rng.permutation(len(self))].flatten(), rows[full:]])

    def run(
        self, start: int, total: int, lengths: Callable[[int], np.ndarray] | None
    ) -> Iterator[Int[np.ndarray, "b 2"]]:
        """(epoch, row) of every sample of the batches ``start`` to ``total`` of an endless run."""
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
    """Sort each run of ``pool`` shuffled rows by length."""
    parts = [rows[i : i + pool] for i in range(0, len(rows), pool)]
    return np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])


def rank_slice(batch: Int[np.ndarray, "b *k"], rank: int, world: int) -> Int[np.ndarray, "r *k"]:
    """The rows of a global batch that one process takes: as many for each."""
    share = len(batch) // world
    return batch[rank * share : (rank + 1) * share]


def evaluation_batches(
    lengths: Int[np.ndarray, " n"],
    batch_size: int,
    rank: int,
    world: int,
    corpora: Shaped[np.ndarray, " n"] | None = None,
) -> Iterator[Int[np.ndarray, " b"]]:
    """Every row once over all processes, long texts first: a batch too big shows at once.

    The batches are the same for any number of processes: a contrastive loss depends on what
    shares a batch. Each holds rows of one of the ``corpora``. A process may go without.
    """
    rows = np.argsort(-lengths, kind="stable")
    names = np.zeros_like(lengths) if corpora is None else corpora
    batches = [
        own[i : i + batch_size]
        for name in dict.fromkeys(names.tolist())
        for own in [rows[names[rows] == name]]
        for i in range(0, len(own), batch_size)
    ]
    return iter(batches[rank::world])
