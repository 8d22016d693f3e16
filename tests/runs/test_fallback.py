"""A damaged sharded checkpoint is replaced by the newest intact one, by one process only."""

import threading
import time

import pytest
import torch

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.checkpoint import read_meta
from mmtx_cli.io.checkpoint_files.seal import write_sealed
from mmtx_cli.io.sharded import folder
from mmtx_cli.runs import fallback
from tests.messages import mentions, raises


def sharded(path, step):
    """A checkpoint of one shard, which no reader of its metadata opens."""
    path.mkdir(parents=True)
    meta = {"config": {}, "optimizer_states": [], "global_step": step}
    write_sealed(path / folder.META, lambda stream: torch.save(meta, stream), step)
    (path / "0.safetensors").write_bytes(bytes([step]) * 100)
    listed = {entry.name: folder.checksum(entry) for entry in path.iterdir()}
    folder.finish(path, path.with_name(f"{path.name}.new"), listed)
    (path.with_name(f"{path.name}.new")).rename(path)
    return path


def flip(shard):
    data = bytearray(shard.read_bytes())
    data[50] ^= 1
    shard.write_bytes(data)


def step_of(path):
    return fallback.intact_config(path, read_meta)["global_step"]


@pytest.fixture
def saves(tmp_path):
    saves = tmp_path / "checkpoints"
    for name, step in (("last", 30), ("step-20", 20), ("previous", 10)):
        sharded(saves / f"{name}.ckpt", step)
    flip(saves / "last.ckpt" / "0.safetensors")
    return saves


def test_the_newest_intact_step_is_taken(saves, capsys):
    assert step_of(saves / "last.ckpt") == 20
    mentions(
        capsys.readouterr().err, "last.ckpt: damaged: 0.safetensors", "step-20.ckpt", "10 steps"
    )
    assert fallback.resumed_step(saves / "last.ckpt") == 20
    assert step_of(saves / "last.ckpt") == 20
    assert capsys.readouterr().err == ""


def test_damaged_ones_are_passed_over(saves):
    flip(saves / "step-20.ckpt" / "0.safetensors")
    (saves / "last.ckpt" / folder.CHECKSUMS).unlink()
    (saves / "last.ckpt" / folder.META).write_bytes(b"")
    assert step_of(saves / "last.ckpt") == 10


def test_the_other_processes_wait_for_the_first(saves, monkeypatch):
    last = saves / "last.ckpt"
    (last / folder.META).write_bytes(b"")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(fallback, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(fallback, "PATIENCE", 0.05)
    with raises(CheckpointError, "meta.pt: cannot be read"):
        step_of(last)
    assert (last / folder.META).read_bytes() == b""  # only the first process changes it
    monkeypatch.setattr(fallback, "PATIENCE", 60)

    def first() -> None:
        time.sleep(0.1)
        fallback.copy_checkpoint(saves / "step-20.ckpt", last)

    thread = threading.Thread(target=first)
    thread.start()
    assert step_of(last) == 20
    thread.join()
