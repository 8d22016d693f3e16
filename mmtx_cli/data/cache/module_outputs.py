"""Cached outputs of one module, looked up by content and read from memory-mapped shards."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.data.cache.card import CARD, Card
from mmtx_cli.data.cache.content import ContentKeys
from mmtx_cli.data.cache.shard import SUFFIX, Fault, ShardIndex, read_index, read_vectors
from mmtx_cli.media.errors import UnreadableError

NONE, CHANGED = -1, -2
"""Placeholders for an entry's number: not cached, or cached from another state of the content."""


class ModuleOutputs:
    """All shards of a folder as one list of entries; later shards take precedence."""

    def __init__(self, folder: Path, card: Card) -> None:
        """Read the shards' indices; raise DataError if one is damaged."""
        self.folder, self.card = folder, card
        shards = [read_index(path) for path in sorted(folder.glob(f"[0-9]*{SUFFIX}"))]
        self.paths = [shard.path for shard in shards]
        self.shard = np.repeat(np.arange(len(shards)), [len(s.ends) for s in shards])
        self.stop = joined([shard.ends for shard in shards])
        self.start = joined([np.concatenate([[0], s.ends[:-1]]) for s in shards if len(s.ends)])
        self.faults = faults_of(shards)
        name = joined([shard.contents.name for shard in shards], np.uint64)
        self.order = np.argsort(name, kind="stable")
        self.name = name[self.order]
        self.state = joined([shard.contents.state for shard in shards], np.uint64)
        self.mapped: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.stop)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "mapped": {}}  # each process maps shards itself

    @property
    def vector(self) -> tuple[int, torch.dtype]:
        """Width and dtype of a vector."""
        return self.card.width, getattr(torch, self.card.dtype)

    def find(self, contents: ContentKeys) -> Int[np.ndarray, " n"]:
        """Return the entry number of each content, or NONE or CHANGED."""
        if not len(self):
            return np.full(len(contents), NONE)
        last = np.searchsorted(self.name, contents.name, side="right") - 1
        entry = self.order[np.maximum(last, 0)]
        found = (last >= 0) & (self.name[np.maximum(last, 0)] == contents.name)
        unchanged = self.state[entry] == contents.state
        return np.where(found, np.where(unchanged, entry, CHANGED), NONE)

    def read(self, entry: int) -> Float[Tensor, "n d"] | None:
        """Return the vectors of an entry; None if the content turned out to be empty.

        Raises:
            UnreadableError: if the content could not be read when it was cached.
        """
        if fault := self.faults.get(entry):
            raise UnreadableError(fault.path, fault.reason)
        begin, end = int(self.start[entry]), int(self.stop[entry])
        return self.vectors(int(self.shard[entry]))[begin:end] if end > begin else None

    def vectors(self, shard: int) -> Float[Tensor, "n d"]:
        """Return all vectors of a shard, which is mapped on first use."""
        if shard not in self.mapped:
            self.mapped[shard] = read_vectors(self.paths[shard])
        return self.mapped[shard]


def joined(arrays: Sequence[np.ndarray], dtype: type = np.int64) -> np.ndarray:
    """Concatenate any number of arrays, including none."""
    return np.concatenate([*arrays, np.zeros(0, dtype)]).astype(dtype)


def faults_of(shards: Sequence[ShardIndex]) -> dict[int, Fault]:
    """Return the faults of all shards by global entry number."""
    offsets = np.cumsum([0, *(len(shard.ends) for shard in shards)])
    return {
        int(offset) + i: fault
        for offset, shard in zip(offsets, shards, strict=False)
        for i, fault in shard.faults.items()
    }


def open_parts(folder: Path) -> dict[str, ModuleOutputs]:
    """Open all parts of a cache, by name."""
    paths = (path.parent for path in sorted(folder.glob(f"*/{CARD}")))
    parts = (ModuleOutputs(path, Card.read(path)) for path in paths)
    return {part.card.part: part for part in parts}
