import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from mmtx_cli.errors import CheckpointError
from mmtx_cli.training.checkpoint_io import SafeCheckpointIO
from tests.messages import raises

STATE_OF_A_RUN = {
    "epoch": 0,
    "global_step": 1,
    "pytorch-lightning_version": "2.5",
    "loops": {},
    "callbacks": {},
    "optimizer_states": [],
    "lr_schedulers": [],
}


def checkpoint_of(number, size=10):
    """One whose every tensor tells which it is."""
    tensors = {str(i): torch.full((size,), float(number)) for i in range(4)}
    return {"config": {"number": number}, "state_dict": tensors, **STATE_OF_A_RUN}


def number_of(path):
    """Which checkpoint it is; all of it has to be."""
    found = SafeCheckpointIO().load_checkpoint(path)
    number = found["config"]["number"]
    assert all((x == number).all() for x in found["state_dict"].values())
    return number


def test_round_trip(tmp_path):
    path = tmp_path / "new" / "last.ckpt"
    SafeCheckpointIO().save_checkpoint(checkpoint_of(3), path)
    assert number_of(path) == 3
    SafeCheckpointIO().save_checkpoint(checkpoint_of(4), path)
    assert number_of(path) == 4
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_checkpoint(tmp_path, monkeypatch, error):
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint(checkpoint_of(1), path)

    def fail(checkpoint, target):
        target.write(b"half a checkpoint")
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(type(error)):
        SafeCheckpointIO().save_checkpoint(checkpoint_of(2), path)
    assert number_of(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def save_for_ever(path):
    torch.set_num_threads(1)
    for number in range(1, 10_000):
        SafeCheckpointIO().save_checkpoint(checkpoint_of(number, 300_000), path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint(checkpoint_of(0, 300_000), path)
    pause, in_the_middle = random.Random(0), 0

    def parts():
        return [p for p in tmp_path.iterdir() if p != path]

    for attempt in range(200):
        child = multiprocessing.get_context("fork").Process(target=save_for_ever, args=(path,))
        child.start()
        while not parts():  # it has begun to write, however busy the machine is
            time.sleep(0.0005)
        time.sleep(pause.uniform(0, 0.05))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        number_of(path)
        in_the_middle += bool(parts())
        for part in parts():
            part.unlink()
        if attempt >= 10 and in_the_middle > 2:
            break
    assert in_the_middle > 2, "no process died while it wrote: the test tests nothing"


def test_what_is_no_checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"half a checkpo")
    with raises(CheckpointError, f"{path}: ", "read as a checkpoint"):
        SafeCheckpointIO().load_checkpoint(path)
    torch.save({"weights": torch.ones(2)}, path)
    with raises(CheckpointError, f"{path}: ", "checkpoint", "'config'"):
        SafeCheckpointIO().load_checkpoint(path)


@pytest.mark.parametrize("name", STATE_OF_A_RUN)
@pytest.mark.parametrize("value", [None, "x", {1}, ...], ids=["null", "text", "set", "absent"])
def test_a_checkpoint_without_the_state_of_a_run(name, value, tmp_path):
    if (name, value) == ("pytorch-lightning_version", "x"):
        pytest.skip("any text is a version")
    checkpoint = checkpoint_of(1) | {name: value}
    if value is ...:
        del checkpoint[name]
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with raises(CheckpointError, f"{tmp_path / 'last.ckpt'}: ", "resumed", name):
        SafeCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")


class Trap:
    """What a hostile checkpoint would run on being read."""

    def __reduce__(self):
        return os.mkdir, ("caught",)


def test_nothing_in_a_checkpoint_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"config": {}, "state_dict": Trap()}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError):
        SafeCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "caught").exists()
