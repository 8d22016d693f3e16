"""Writing of cache entries, collected into shards."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.data.cache.content import ContentKeys
from mmtx_cli.data.cache.shard import SUFFIX, Fault, write_shard
from mmtx_cli.errors import DataError

SHARD_BYTES = 128 * 2**20


class ShardWriter:
    """Appends new shards to a folder, with entries in the order in which they are added.

    Args:
        folder: Folder of the part.
        width: Number of elements of a vector.
        dtype: Type in which vectors are stored.
        shard_bytes: Size at which a shard is written.
    """

    def __init__(
        self, folder: Path, width: int, dtype: torch.dtype, shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.folder, self.dtype, self.shard_bytes = folder, dtype, shard_bytes
        self.empty = torch.zeros(0, width, dtype=dtype)
        self.next = 1 + max((int(p.stem) for p in folder.glob(f"[0-9]*{SUFFIX}")), default=-1)
        self.reset()

    def reset(self) -> None:
        """Start a new shard."""
        self.outputs: list[Tensor] = []
        self.names: list[int] = []
        self.states: list[int] = []
        self.faults: dict[int, Fault] = {}
        self.size = 0

    def add(self, name: int, state: int, x: Float[Tensor, "n d"], path: str = "") -> None:
        """Add an output; raise DataError, naming ``path``, if it is not finite in ``dtype``.

        Args:
            name: Name hash of the content.
            state: State hash of the content.
            x: The output.
            path: What was encoded, for messages.
        """
        converted = x.to(self.dtype)
        if not converted.isfinite().all():
            cause = (
                "is not finite"
                if not x.isfinite().all()
                else f"overflows {dtype_name(converted.dtype)}"
            )
            raise DataError(
                f"{path}: the encoder's output {cause}; "
                "set dtype=bfloat16 or dtype=float32, or check the encoder's weights"
            )
        self.append(name, state, converted)

    def add_fault(self, name: int, state: int, fault: Fault) -> None:
        """Add an entry for a content that could not be read."""
        self.faults[len(self.outputs)] = fault
        self.append(name, state, self.empty)

    def append(self, name: int, state: int, x: Float[Tensor, "n d"]) -> None:
        """Collect an entry, and write the shard once it is large enough."""
        self.outputs.append(x.clone())  # a view would keep the whole batch in memory
        self.names.append(name)
        self.states.append(state)
        self.size += x.numel() * x.element_size()
        if self.size >= self.shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write the collected entries."""
        if not self.outputs:
            return
        hashes = (np.array(x, dtype=np.uint64) for x in (self.names, self.states))
        path = self.folder / f"{self.next:06d}{SUFFIX}"
        write_shard(path, ContentKeys(*hashes), self.outputs, self.faults)
        self.next += 1
        self.reset()


def dtype_name(dtype: torch.dtype) -> str:
    """Return a dtype as it is written in the configuration."""
    return str(dtype).removeprefix("torch.")
