"""Cache shards: the outputs of many entries in one safetensors file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor

from mmtx_cli.data.cache.content import ContentKeys
from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import atomic_write

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Fault:
    """Why a content could not be encoded."""

    path: str
    reason: str


@dataclass(frozen=True)
class ShardIndex:
    """Contents of a shard without its vectors; those of entry i end at ``ends[i]``.

    ``faults`` are those of unreadable entries, by entry number.
    """

    path: Path
    contents: ContentKeys
    ends: Int[np.ndarray, " n"]
    faults: Mapping[int, Fault] = field(default_factory=dict)


def write_shard(
    path: Path,
    contents: ContentKeys,
    outputs: Sequence[Float[Tensor, "_ d"]],
    faults: Mapping[int, Fault],
) -> None:
    """Write a shard atomically.

    Args:
        path: The file.
        contents: Content of each entry.
        outputs: Vectors of each entry.
        faults: Faults of unreadable entries, by entry number.
    """
    from safetensors.torch import save_file

    tensors = {
        "x": torch.cat(list(outputs)),
        "ends": torch.tensor([len(x) for x in outputs]).cumsum(0),
        # signed, since not all safetensors readers support uint64
        "name": torch.from_numpy(contents.name.view(np.int64)),
        "state": torch.from_numpy(contents.state.view(np.int64)),
    }
    faults_json = json.dumps({str(i): [f.path, f.reason] for i, f in faults.items()})
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"faults": faults_json})


def read_index(path: Path) -> ShardIndex:
    """Read a shard's index without its vectors.

    Raises:
        DataError: if it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            ends, name, state = (
                file.get_tensor(key).numpy().copy() for key in ("ends", "name", "state")
            )
            stored_faults = json.loads(file.metadata()["faults"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: cache shard cannot be read ({error}); remove it, then run the command that "
            "created the cache again"
        ) from error
    faults = {int(i): Fault(*values) for i, values in stored_faults.items()}
    return ShardIndex(path, ContentKeys(unsigned(name), unsigned(state)), ends, faults)


def unsigned(x: Int[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Reinterpret the bits as unsigned integers."""
    return x.view(np.uint64)


def read_vectors(path: Path) -> Float[Tensor, "n d"]:
    """Return all vectors of a shard as a memory map, which loads pages on access.

    The file is not kept open, so that a process can map any number of shards.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.get_tensor("x")
