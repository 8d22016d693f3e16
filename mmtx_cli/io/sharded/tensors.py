"""Read the tensors of a sharded checkpoint in one process, however many processes wrote it."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.sharded.folder import META, REMEDY, check_files, read_checksums
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError
from mmtx_cli.io.untrusted.safetensors_file import check_header
from mmtx_cli.io.untrusted.torch_file import check_archive, load_archive

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.checkpoint.metadata import Metadata

SHARDS = ".safetensors"
WEIGHTS, OPTIMIZER = "state_dict.", "optimizer."
"""Prefixes of the tensors' names: of the weights, and of the state of optimizer ``n``, parameter
``i``: ``optimizer.n.i.key``."""


def load_sharded(folder: Path, optimizer: bool = True) -> dict[str, Any]:
    """Return a checkpoint as if a single process had written it, with all tensors on the CPU.

    Args:
        folder: Folder of the checkpoint.
        optimizer: Whether to read the optimizer's state.

    Raises:
        CheckpointError: if it is damaged.
    """
    listed = read_checksums(folder)
    check_files(folder, listed, listed)
    checkpoint = load_meta(folder)
    stored = stored_tensors(folder)
    names = [n for n in stored if n.startswith(WEIGHTS) or optimizer]
    tensors = read_tensors(folder, {n: stored[n] for n in names})
    try:
        return joined(checkpoint, tensors)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: its shards do not fit {META} ({type(error).__name__}: {error}); {REMEDY}"
        ) from error


def load_meta(folder: Path) -> dict[str, Any]:
    """Return everything but the tensors in the shards.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        check_archive(folder / META)
        meta = load_archive(folder / META)
    except Exception as error:  # a damaged file may raise anything
        raise CheckpointError(f"{folder / META}: cannot be read: {error}; {REMEDY}") from error
    if not isinstance(meta, dict) or "config" not in meta:
        raise CheckpointError(f"{folder}: not an mmtx checkpoint (no 'config')")
    return meta


def stored_tensors(folder: Path) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return the shape and type of each tensor by name.

    Raises:
        CheckpointError: if the shards do not fit together.
    """
    metadata = read_metadata(folder)
    found = {}
    for name, entry in metadata.state_dict_metadata.items():
        found[name] = (tuple(entry.size), entry.properties.dtype)  # type: ignore[union-attr]
    return found


def weight_names(folder: Path, prefix: str) -> list[str]:
    """Return the names of the weights below ``prefix``, without it."""
    whole = f"{WEIGHTS}{prefix}"
    return [n.removeprefix(whole) for n in stored_tensors(folder) if n.startswith(whole)]


def read_metadata(folder: Path) -> "Metadata":
    """Return the metadata of the shards, whose parts cover each tensor exactly.

    Raises:
        CheckpointError: if a file cannot be read, or parts are missing or overlap.
    """
    from torch.distributed.checkpoint import HuggingFaceStorageReader

    try:
        for name in read_checksums(folder):
            if name.endswith(SHARDS):
                check_header(folder / name)
        metadata = HuggingFaceStorageReader(str(folder)).read_metadata()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file may raise anything
        text = error if isinstance(error, RefusedFileError) else type(error).__name__
        raise CheckpointError(f"{folder}: its shards cannot be read: {text}; {REMEDY}") from error
    for name, entry in metadata.state_dict_metadata.items():
        if not _is_covered(entry):
            raise CheckpointError(f"{folder}: damaged: parts of {name} are missing; {REMEDY}")
    return metadata


def _is_covered(entry: Any) -> bool:
    """Return True if the parts, which are slices of the first dimension, join without gaps."""
    end = 0
    parts = sorted(entry.chunks, key=lambda part: (*part.offsets, *part.sizes))
    for part in parts:
        if not entry.size:  # a scalar
            return len(parts) == 1
        if not part.sizes.numel():
            continue
        if part.offsets[0] != end or any(part.offsets[1:]) or part.sizes[1:] != entry.size[1:]:
            return False
        end += part.sizes[0]
    return not entry.size or end == entry.size[0] or not entry.size.numel()


def read_tensors(
    folder: Path, stored: Mapping[str, tuple[tuple[int, ...], Any]]
) -> "dict[str, Tensor]":
    """Return whole tensors of the given shapes and types by name."""
    import torch
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint import HuggingFaceStorageReader

    tensors = {name: torch.empty(size, dtype=dtype) for name, (size, dtype) in stored.items()}
    if tensors:
        reader = HuggingFaceStorageReader(str(folder))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            checkpoint.load(tensors, storage_reader=reader, no_dist=True)
    return tensors


def joined(meta: Mapping[str, Any], tensors: "Mapping[str, Tensor]") -> dict[str, Any]:
    """Return a checkpoint with its tensors in the places that a single process gives them."""
    states = [
        {**state, "state": {i: dict(entry) for i, entry in state["state"].items()}}
        for state in meta.get("optimizer_states", [])
    ]
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER):
            _, number, index, key = name.split(".", 3)
            states[int(number)]["state"][int(index)][key] = tensor
    weights = {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)}
    return {**meta, "state_dict": weights, "optimizer_states": states}


def split(checkpoint: Mapping[str, Any]) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """Return what a checkpoint's ``meta.pt`` and its shards contain: the reverse of ``joined``.

    The scalars of the optimizer's state remain in the former.
    """
    tensors = {f"{WEIGHTS}{name}": x for name, x in checkpoint["state_dict"].items()}
    states = []
    for number, state in enumerate(checkpoint.get("optimizer_states", [])):
        rest: dict[int, dict[str, Any]] = {}
        for index, entry in state["state"].items():
            rest[index] = {}
            for key, value in entry.items():
                if getattr(value, "ndim", 0):
                    tensors[f"{OPTIMIZER}{number}.{index}.{key}"] = value
                else:
                    rest[index][key] = value
        states.append({**state, "state": rest})
    separate(tensors)
    meta = {name: value for name, value in checkpoint.items() if name != "state_dict"}
    return {**meta, "optimizer_states": states}, tensors


def separate(tensors: "dict[str, Tensor]") -> None:
    """Copy tensors that share memory with another one, which safetensors rejects: tied weights."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        part = tensor.to_local() if hasattr(tensor, "to_local") else tensor
        address = part.untyped_storage().data_ptr()
        if address and address in seen:
            tensors[name] = tensor.clone()
        seen.add(address)
