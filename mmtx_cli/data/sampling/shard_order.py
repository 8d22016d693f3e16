"""Order of training batches that reads tar shards nearly one after the other."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.derived import mapped_arrays, stored_folder, write_arrays
from mmtx_cli.data.manifest.table.facts import values
from mmtx_cli.data.manifest.table.samples import SampleTable
from mmtx_cli.data.sampling.epoch_order import POOL, TrainOrder, by_length
from mmtx_cli.media.shard.reference import split_reference
from mmtx_cli.media.shard.remote import ReadAhead

MEDIA = ("image", "video", "audio")
PATHS = "paths.json"


def shard_paths(samples: Sequence[Sample]) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """Return the number of the shard that each sample is read from, and the shards' paths.

    The first file of a sample decides. Samples without files are read with those before them. The
    numbers are in the order of first appearance; without any shard, all are 0 and no path is given.
    Those of a table are stored beside it.
    """
    if not isinstance(samples, SampleTable):
        return _shard_paths(samples)

    def make(folder: Path) -> None:
        of_row, paths = _shard_paths(values(samples, MEDIA, lambda sample: sample))
        write_arrays(folder, {"shards": of_row})
        (folder / PATHS).write_text(json.dumps(paths), encoding="utf-8")

    folder = stored_folder(samples, "shard-numbers", None, make)
    paths: list[str] = json.loads((folder / PATHS).read_text(encoding="utf-8"))
    return mapped_arrays(folder)["shards"], paths


def _shard_paths(samples: Iterable[Sample]) -> tuple[Int[np.ndarray, " n"], list[str]]:
    numbers: dict[str, int] = {}
    current, of_row = 0, []
    for sample in samples:
        parts = next((p for _, path in sample.media() if (p := split_reference(path))), None)
        if parts is not None:
            current = numbers.setdefault(parts[0], len(numbers))
        of_row.append(current)
    return np.array(of_row, dtype=np.int64), list(numbers)


@dataclass(frozen=True, eq=False)
class ShardOrder(TrainOrder):
    """Random order of shards, whose samples are then shuffled within windows of several shards.

    Like ``TrainOrder``, a function of (seed, epoch) alone, and every sample occurs once in an
    epoch. While the batches of a window are read, only its shards are.
    """

    shards: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """The shard of each row."""
    window: int = 16
    """Number of shards whose samples are mixed."""
    paths: Sequence[str] = ()
    """Paths of the shards."""

    def whole(
        self, epoch: int, lengths: Int[np.ndarray, " n"] | None = None
    ) -> Int[np.ndarray, " n"]:
        """Return all row indices of an epoch, with the incomplete batch last."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, epoch]))
        rank = self._ranks(rng)[self.shards]
        rows = np.argsort(rank, kind="stable")
        ends = np.searchsorted(rank[rows], np.arange(0, rank.max() + 1, self.window))
        rows = np.concatenate([rng.permutation(part) for part in np.split(rows, ends[1:])])
        return rows if lengths is None else self._bucketed(rng, rows, lengths)

    def _ranks(self, rng: np.random.Generator) -> Int[np.ndarray, " s"]:
        """Return the position in the epoch of each shard."""
        count = int(self.shards.max()) + 1
        ranks = np.empty(count, dtype=np.int64)
        ranks[rng.permutation(count)] = np.arange(count)
        return ranks

    def _bucketed(
        self, rng: np.random.Generator, rows: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, " n"]:
        """Return batches of similar lengths, whose order is random only within each pool."""
        full = len(self) * self.size
        batches = by_length(rows[:full], lengths, self.size * POOL).reshape(len(self), self.size)
        pools = [batches[i : i + POOL] for i in range(0, len(batches), POOL)]
        mixed = [pool[rng.permutation(len(pool))].flatten() for pool in pools]
        return np.concatenate([*mixed, rows[full:]])

    def run(
        self, start: int, total: int, lengths: Callable[[int], np.ndarray] | None
    ) -> Iterator[Int[np.ndarray, "b 2"]]:
        """Yield batches as ``TrainOrder`` does, and read the shards of the next window ahead."""
        ahead, k, windows = ReadAhead(), start, list[tuple[int, list[str]]]()
        for batch in super().run(start, total, lengths):
            epoch, first = divmod(k, len(self))
            if self.paths and (k == start or first == 0):
                windows = self._windows(epoch, first * self.size)
            # this window's shards, then those of the next one
            while windows and windows[0][0] <= first * self.size:
                ahead.begin(windows.pop(0)[1])
            yield batch
            k += 1

    def _windows(self, epoch: int, first: int) -> list[tuple[int, list[str]]]:
        """Return the windows that end after sample ``first``, and from which sample on to fetch.

        That is the first sample of the window before.
        """
        found = list(self.shards_by_window(epoch))
        begins = [0, *(begin for begin, _ in found), self.num_samples]
        return [
            (begins[i], [self.paths[shard] for shard in shards])
            for i, (_, shards) in enumerate(found)
            if begins[i + 2] > first
        ]

    def shards_by_window(self, epoch: int) -> Iterator[tuple[int, Int[np.ndarray, " w"]]]:
        """Yield, for each window of an epoch, the position of its first sample and its shards."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, epoch]))
        order = np.argsort(self._ranks(rng))
        sizes = np.bincount(self.shards, minlength=len(order))
        begin = 0
        for i in range(0, len(order), self.window):
            window = order[i : i + self.window]
            yield begin, window
            begin += int(sizes[window].sum())
