"""Order of training batches that are filled by tokens, as a pure function of (seed, epoch)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from mmtx_cli.data.sampling.epoch_order import POOL

Lengths = Callable[[int], Int[np.ndarray, "c n"]]
"""Maps an epoch to the tokens of every sample in each of the c padded sequences of a batch."""


@dataclass
class BudgetOrder:
    """Shuffled global batches of samples of similar length, with a limit on padded tokens.

    A batch of n samples has n times the longest of each of its sequences. It is filled up to
    ``budget``, with a number of samples that is a multiple of ``multiple``. Each sample occurs once
    per epoch, except for the fewer than ``multiple`` that remain at its end.

    Args:
        num_samples: Number of samples.
        budget: Maximum number of tokens of a batch over all processes, with padding.
        seed: Seed of the shuffling.
        lengths: The lengths of the samples in an epoch.
        multiple: What the number of samples of a batch is a multiple of.
    """

    num_samples: int
    budget: int
    seed: int
    lengths: Lengths
    multiple: int = 1
    ends: list[int] = field(default_factory=list)
    kept: dict[int, list[np.ndarray]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number that the samples of each batch are a multiple of."""
        return self.multiple

    def __len__(self) -> int:
        """Return the number of batches of the first epoch; those of others differ slightly."""
        return len(self.epoch(0))

    def epoch(self, epoch: int) -> list[Int[np.ndarray, " b"]]:
        """Return the row indices of all batches of an epoch, in order.

        Raises:
            ValueError: if ``multiple`` samples of the longest do not fit into a batch.
        """
        if epoch not in self.kept:
            self.kept = {epoch: self.planned(epoch)}
        return self.kept[epoch]

    def planned(self, epoch: int) -> list[Int[np.ndarray, " b"]]:
        """Compute ``epoch``."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, epoch]))
        lengths = self.lengths(epoch)
        total = lengths.sum(axis=0)
        typical = max(1, self.budget // max(1, int(total.mean())))
        rows = snake(rng.permutation(self.num_samples), total, typical * POOL)
        batches = self.filled(rows, lengths[:, rows])
        return [batches[i] for i in rng.permutation(len(batches))]

    def filled(
        self, rows: Int[np.ndarray, " n"], lengths: Int[np.ndarray, "c n"]
    ) -> list[Int[np.ndarray, " b"]]:
        """Cut the rows, whose lengths are given, into batches that the budget allows."""
        batches, start, window = [], 0, 64
        while len(rows) - start >= self.multiple:
            longest = np.maximum.accumulate(lengths[:, start : start + window], axis=1)
            cost = np.arange(1, longest.shape[1] + 1) * longest.sum(axis=0)
            count = int(np.searchsorted(cost, self.budget, side="right"))
            if count == longest.shape[1] and start + window < len(rows):
                window *= 2
                continue
            count -= count % self.multiple
            if not count:
                raise ValueError(f"{self.multiple} samples have more than {self.budget} tokens")
            batches.append(rows[start : start + count])
            start, window = start + count, max(64, 2 * count)
        return batches

    def largest(self) -> Int[np.ndarray, " b"]:
        """Return the batch of the first epoch with the most tokens, the longest samples first."""
        lengths = self.lengths(0)
        batch = max(self.epoch(0), key=lambda rows: len(rows) * lengths[:, rows].max(axis=1).sum())
        return batch[np.argsort(-lengths[:, batch].sum(axis=0), kind="stable")]

    def batches(self, epochs: int) -> int:
        """Return the number of batches of the first ``epochs`` epochs."""
        while len(self.ends) < epochs:
            before = self.ends[-1] if self.ends else 0
            self.ends.append(before + len(self.planned(len(self.ends))))
        return self.ends[epochs - 1] if epochs else 0

    def position(self, batch: int) -> tuple[int, int]:
        """Return the epoch that a batch belongs to, and its index in it."""
        epoch = 0
        while self.batches(epoch + 1) <= batch:
            epoch += 1
        return epoch, batch - self.batches(epoch)

    def run(
        self, start: int, total: int, lengths: object = None
    ) -> Iterator[Int[np.ndarray, "b 2"]]:
        """Yield (epoch, row) of the samples in batches ``start`` to ``total`` over all epochs.

        ``lengths`` is not used: batches always have samples of similar length.
        """
        epoch, first = self.position(start)
        left = total - start
        while left > 0:
            batches = self.epoch(epoch)[first : first + left]
            for batch in batches:
                yield np.stack([np.full_like(batch, epoch), batch], axis=1)
            epoch, first, left = epoch + 1, 0, left - len(batches)


def snake(
    rows: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"], pool: int
) -> Int[np.ndarray, " n"]:
    """Sort by length within each pool of shuffled rows, every second pool from long to short.

    So neighbors have similar lengths across the borders of pools too.
    """
    parts = []
    for i in range(0, len(rows), pool):
        part = rows[i : i + pool]
        ordered = part[np.argsort(lengths[part], kind="stable")]
        parts.append(ordered[::-1] if (i // pool) % 2 else ordered)
    return np.concatenate(parts) if parts else rows
