"""Save and load sharded checkpoints: each process writes and reads its own part."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint import load as load_shards
from torch.distributed.checkpoint import save as save_shards
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from mmtx_cli.errors import CheckpointError, RunError
from mmtx_cli.io.atomic import make_subfolder
from mmtx_cli.io.checkpoint import check_finite
from mmtx_cli.io.checkpoint_files.keep import LAST, keep_previous
from mmtx_cli.io.checkpoint_files.seal import write_sealed
from mmtx_cli.io.file_errors import writing
from mmtx_cli.io.sharded import folder as folders
from mmtx_cli.io.sharded.tensors import (
    OPTIMIZER,
    SHARDS,
    WEIGHTS,
    joined,
    load_meta,
    split,
    stored_tensors,
)
from mmtx_cli.training.checkpoint_io import check_space, check_state, size_of

STATE_KEYS = ("exp_avg", "exp_avg_sq")
"""Tensors of AdamW's state for each parameter, of its shape."""


def save(checkpoint: Mapping[str, Any], target: Path, keep: int = 1) -> None:
    """Replace ``target`` by a sharded checkpoint, atomically; called by all processes.

    ``keep`` is the number of latest checkpoints to keep.

    Raises:
        MmtxError, OSError: in every process if one of them cannot write.
    """
    meta, tensors = split(checkpoint)
    size = size_of(checkpoint)  # of all processes

    def begin() -> str:
        make_subfolder(target.parent)
        check_space(target, size)
        return str(folders.make_temporary(target))

    temporary = Path(on_first(begin))
    try:
        write_shards(tensors, target, temporary, size)
        names = on_first(lambda: sorted(n for n in os.listdir(temporary) if n.endswith(SHARDS)))
        own = names[dist.get_rank() :: world()]
        parts = together(lambda: {n: folders.checksum(temporary / n) for n in own})
        listed = {name: entry for part in parts for name, entry in part.items()}
        on_first(lambda: complete(temporary, target, meta, listed, keep))
    finally:
        if dist.get_rank() == 0:
            folders.remove(temporary)  # of a save that failed


def write_shards(tensors: dict[str, Tensor], target: Path, temporary: Path, size: int) -> None:
    """Write the shards of all processes.

    Args:
        tensors: The tensors, of which each process holds its part.
        target: Path of the checkpoint.
        temporary: Folder for the shards.
        size: Bytes of the checkpoint.

    Raises:
        Exception: in all processes, if any of them failed.
    """
    failure: BaseException | None = None
    try:
        writer = HuggingFaceStorageWriter(str(temporary), save_distributed=True)
        save_shards(tensors, storage_writer=writer)
    except CheckpointException as error:
        failure = next(iter(error.failures.values()))[0]
    if failure is not None:
        with writing(target, size, temporary):
            raise failure


def complete(
    temporary: Path,
    target: Path,
    meta: Mapping[str, Any],
    listed: Mapping[str, Any],
    keep: int,
) -> None:
    """Write the rest of a checkpoint, and give it its name.

    Args:
        temporary: Folder with the shards.
        target: Path of the checkpoint.
        meta: What the shards do not contain.
        listed: Sizes and checksums of the shards.
        keep: Number of latest checkpoints to keep.
    """
    path, step = temporary / folders.META, meta.get("global_step")
    with writing(target, None, path):
        write_sealed(
            path,
            lambda stream: torch.save(dict(meta), stream),
            step if isinstance(step, int) else 0,
        )
    if target.name == LAST:
        keep_previous(target, keep)
    folders.finish(temporary, target, {**listed, folders.META: folders.checksum(path)})


def on_first(action: Callable[[], Any]) -> Any:
    """Run an action in the first process and return its result in all of them.

    Raises:
        Exception: that of the action, as ``together`` raises it.
    """
    return together(lambda: action() if dist.get_rank() == 0 else None)[0]


def together(action: Callable[[], Any]) -> list[Any]:
    """Run an action in every process and return the results of all, by rank, in each of them.

    Raises:
        Exception: that of the action, in a process where it failed.
        OSError, RunError: in the others, if it failed in one of them.
    """
    error: Exception | None = None
    result: Any = None
    fault: Any = None
    try:
        result = action()
    except OSError as raised:
        error, fault = raised, (raised.errno, raised.strerror or str(raised), raised.filename)
    except Exception as raised:
        error, fault = raised, str(raised)
    gathered: list[Any] = [None] * world()
    dist.all_gather_object(gathered, (result, fault))
    if error is not None:
        raise error
    for _, other in gathered:
        if isinstance(other, tuple):
            raise OSError(*other)
        if other is not None:
            raise RunError(other)
    return [result for result, _ in gathered]


def world() -> int:
    """Return the number of processes, also if it is 1."""
    return dist.get_world_size()


def load(path: Path, module: nn.Module, optimizers: Sequence[Optimizer]) -> dict[str, Any]:
    """Read a sharded checkpoint into a sharded module and its optimizers.

    Returns what is not in the shards.

    Raises:
        CheckpointError: if it is damaged, or of another model.
    """
    verify(path)
    meta = load_meta(path)
    check_state(path, meta)
    weights = module.state_dict()
    targets = {f"{WEIGHTS}{name}": value for name, value in weights.items()}
    for number, optimizer in enumerate(optimizers):
        for index, parameter in enumerate(parameters_of(optimizer)):
            if parameter.dim() and optimizer_entry(meta, number, index):
                for key in STATE_KEYS:
                    targets[f"{OPTIMIZER}{number}.{index}.{key}"] = torch.zeros_like(
                        parameter.detach()
                    )
    stored = stored_tensors(path)
    check_same(path, targets, {name: shape for name, (shape, _) in stored.items()})
    load_shards(targets, storage_reader=HuggingFaceStorageReader(str(path)))
    module.load_state_dict(weights)
    check_finite(path, {name: local(value) for name, value in weights.items()})
    states = {n: x for n, x in targets.items() if n.startswith(OPTIMIZER)}
    restore_optimizers(optimizers, joined(meta, states)["optimizer_states"])
    return meta


def verify(path: Path) -> None:
    """Compare the files of a checkpoint with their checksums, each in one of the processes.

    Raises:
        CheckpointError: in all processes, if a file of any of them differs.
    """
    fault: str | None = None
    try:
        listed = folders.read_checksums(path)
        folders.check_files(path, listed, sorted(listed)[dist.get_rank() :: world()])
    except CheckpointError as error:
        fault = str(error)
    if found := next((text for text in together(lambda: fault) if text), None):
        raise CheckpointError(found)


def optimizer_entry(meta: Mapping[str, Any], number: int, index: int) -> Mapping[str, Any]:
    """Return the scalars of a parameter's state; empty if it has none, as before the first step."""
    states = meta["optimizer_states"]
    return states[number]["state"].get(index, {}) if number < len(states) else {}


def check_same(path: Path, expected: Mapping[str, Tensor], stored: Mapping[str, Any]) -> None:
    """Raise CheckpointError if a checkpoint has other tensors than the model and its optimizer."""
    differing = sorted(expected.keys() ^ stored.keys())
    differing += [n for n, x in expected.items() if n in stored and tuple(x.shape) != stored[n]]
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise CheckpointError(
            f"{path}: does not fit the model: {differing[0]}{more} differ; restore the run's own "
            "checkpoint, or start a new run with its weights: ckpt="
        )


def parameters_of(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return the parameters in the order of the numbers in the optimizer's state."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def local(value: Tensor) -> Tensor:
    """Return the part of a tensor that this process holds."""
    return value.to_local() if isinstance(value, DTensor) else value


def distribute(
    path: Path, checkpoint: Mapping[str, Any], module: nn.Module, optimizers: Sequence[Optimizer]
) -> None:
    """Load a checkpoint of a single file into a sharded module and its optimizers.

    Every process has read the whole file and keeps its own part.

    Args:
        path: Path of the file.
        checkpoint: Its content.
        module: The sharded module.
        optimizers: Its optimizers.
    """
    current = module.state_dict()
    check_same(path, current, {n: tuple(x.shape) for n, x in checkpoint["state_dict"].items()})
    module.load_state_dict(
        {name: like(value, current[name]) for name, value in checkpoint["state_dict"].items()}
    )
    states = []
    for optimizer, state in zip(optimizers, checkpoint["optimizer_states"], strict=True):
        parameters = parameters_of(optimizer)
        entries = {
            index: {
                key: like(value, parameters[index].detach()) if key in STATE_KEYS else value
                for key, value in entry.items()
            }
            for index, entry in state["state"].items()
        }
        states.append({**state, "state": entries})
    restore_optimizers(optimizers, states)


def like(value: Tensor, reference: Tensor) -> Tensor:
    """Return a tensor, or this process's part of it if ``reference`` is sharded."""
    if not isinstance(reference, DTensor):
        return value
    value = value.to(reference.device)
    # all processes have read the same file: nothing is sent
    return distribute_tensor(value, reference.device_mesh, reference.placements, src_data_rank=None)


def restore_optimizers(optimizers: Sequence[Optimizer], states: Sequence[Any]) -> None:
    """Load the state of each optimizer."""
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict(state)
