"""Entries to shards: gathered until they are large enough, then written whole."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.data.cache.content import Contents
from mmtx_cli.data.cache.shard import SUFFIX, Fault, write_shard
from mmtx_cli.errors import DataError

SHARD_BYTES = 128 * 2**20


class ShardWriter:
    """Writes entries into further shards of a folder, in the order in which they are added."""

    def __init__(
        self, folder: Path, width: int, dtype: torch.dtype, shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.folder, self.dtype, self.shard_bytes = folder, dtype, shard_bytes
        self.nothing = torch.zeros(0, width, dtype=dtype)
        self.next = 1 + max((int(p.stem) for p in folder.glob(f"[0-9]*{SUFFIX}")), default=-1)
        self.forget()

    def forget(self) -> None:
        """Begin a shard."""
        self.outputs: list[Tensor] = []
        self.names: list[int] = []
        self.states: list[int] = []
        self.faults: dict[int, Fault] = {}
        self.size = 0

    def add(self, name: int, state: int, x: Float[Tensor, "n d"], path: str = "") -> None:
        """Add an output; one whose numbers ``dtype`` cannot hold is a DataError naming ``path``."""
        kept = x.to(self.dtype)
        if not kept.isfinite().all():
            cause = "are not finite" if not x.isfinite().all() else f"do not fit {said(kept.dtype)}"
            raise DataError(
                f"{path}: the numbers that the encoder makes of it {cause}; "
                "write dtype=bfloat16 or dtype=float32, or look at its weights"
            )
        self.append(name, state, kept)

    def add_fault(self, name: int, state: int, fault: Fault) -> None:
        """Add a content that could not be read."""
        self.faults[len(self.outputs)] = fault
        self.append(name, state, self.nothing)

    def append(self, name: int, state: int, x: Float[Tensor, "n d"]) -> None:
        """Keep it, and write a shard once it is large enough."""
        self.outputs.append(x.clone())  # a part of a batch would keep all of it
        self.names.append(name)
        self.states.append(state)
        self.size += x.numel() * x.element_size()
        if self.size >= self.shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if not self.outputs:
            return
        both = (np.array(x, dtype=np.uint64) for x in (self.names, self.states))
        path = self.folder / f"{self.next:06d}{SUFFIX}"
        write_shard(path, Contents(*both), self.outputs, self.faults)
        self.next += 1
        self.forget()


def said(dtype: torch.dtype) -> str:
    """A dtype as a user writes it."""
    return str(dtype).removeprefix("torch.")
