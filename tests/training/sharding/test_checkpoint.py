"""Saves of sharded checkpoints fail in all processes if they fail in one, and keep earlier ones."""

import errno
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from mmtx_cli.io.checkpoint_files.keep import checkpoint_files
from mmtx_cli.io.checkpoint_files.seal import damage, read_seal
from mmtx_cli.training.checkpoint_io import SafeCheckpointIO
from mmtx_cli.training.sharding import checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]


def found(target: Path) -> list:
    assert not [name for name in os.listdir(target.parent) if name.startswith(".")]
    assert all(damage(path) is None for path in checkpoint_files(target.parent))
    seals = {path: read_seal(path) for path in checkpoint_files(target.parent)}
    return [(path.name, path.is_dir(), seal.step if seal else 0) for path, seal in seals.items()]


def full_in_one(path: Path) -> dict[str, int]:
    if dist.get_rank() == 1:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))
    return {}


def work(rank: int, place: str) -> None:
    dist.init_process_group("gloo", f"file://{place}/store", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    target = Path(place) / "run" / "checkpoints" / "last.ckpt"
    writer = SafeCheckpointIO(3)
    checksum, size_of = checkpoint.folders.checksum, checkpoint.size_of

    def save(step: int) -> bool:
        weights = distribute_tensor(torch.full((4, 2), float(step)), mesh, [Shard(0)])
        state = {"state_dict": {"model.w": weights}, "optimizer_states": [], "config": {}}
        with writer.saving(target, step):
            checkpoint.save({**state, "global_step": step}, target, 3)
        return not writer.failed

    assert all(map(save, (1, 2, 3, 4)))
    kept = [("last.ckpt", True, 4), ("previous.ckpt", True, 3), ("previous-2.ckpt", True, 2)]
    assert found(target) == kept
    checkpoint.folders.checksum = full_in_one
    with pytest.raises(OSError, match="No space left"):
        save(5)
    writer.optional = True
    assert not save(5)
    checkpoint.folders.checksum, checkpoint.size_of = checksum, lambda state: 10**18
    assert not save(5)
    dist.barrier()
    assert found(target) == kept
    if rank == 0:  # resumed with another strategy
        plain = {"state_dict": {}, "optimizer_states": [], "config": {}}
        for step in (6, 7):
            writer.save_checkpoint({**plain, "global_step": step}, target)
    dist.barrier()
    checkpoint.size_of = size_of
    assert save(8)
    dist.barrier()
    assert found(target) == [
        ("last.ckpt", True, 8), ("previous.ckpt", False, 7), ("previous-2.ckpt", False, 6)
    ]  # fmt: skip
    dist.destroy_process_group()


def test_saves_of_two_processes(tmp_path):
    (tmp_path / "run").mkdir()
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
