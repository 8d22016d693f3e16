"""Files that cannot be written: the message, whichever library wrote."""

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.errors import CheckpointError, ConfigError, RunError
from mmtx_cli.io import file_errors
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.checkpoint import load_checkpoint
from mmtx_cli.io.file_errors import FileError, is_of_files, user_error, writing
from mmtx_cli.training.callbacks.metrics_csv import MetricsFile
from mmtx_cli.training.checkpoint_io import SafeCheckpointIO
from tests.messages import faults_mention, raises

FULL = Path("/dev/full")
LIMIT = 200_000
TENSORS = {"x": torch.ones(100_000)}


@pytest.fixture
def small_files():
    """No file may become larger than ``LIMIT`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", [torch.save, save_file], ids=["torch", "safetensors"])
def test_a_library_that_keeps_the_reason_to_itself(tmp_path, small_files, write):
    path = tmp_path / "weights"
    path.write_text("before")
    with pytest.raises(FileError) as caught, atomic_write(path, 400_000) as temporary:
        write(TENSORS, temporary)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


def test_a_checkpoint_error_names_the_space_it_needs(tmp_path, monkeypatch):
    def no_space(checkpoint, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", no_space)
    usage = shutil._ntuple_diskusage(total=9, used=2, free=7_000_000)
    monkeypatch.setattr(file_errors.shutil, "disk_usage", lambda path: usage)
    path = tmp_path / "last.ckpt"
    with pytest.raises(FileError) as caught:
        SafeCheckpointIO().save_checkpoint({"state_dict": TENSORS, "loops": [1, TENSORS]}, path)
    error = user_error(caught.value, remedy="; go on")
    assert isinstance(error, RunError)
    faults_mention([error], (f"{path}: No space left on device ", "7 MB", "0.8 MB"))
    assert str(error).endswith("; go on")


def metrics(path):
    MetricsFile(path).write({"step": 1, "x" * LIMIT: 1.0})


def quarantine(path):
    Quarantine(path, 3, 1.0).add([{"id": "a", "path": "a.jpg", "reason": "empty" * LIMIT}])


def any_text(path):
    with writing(path):
        path.write_text("hello")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_a_file_on_a_full_disk_is_named():
    with pytest.raises(FileError) as caught:
        any_text(FULL)
    assert str(user_error(caught.value)).startswith("/dev/full: No space left on device (")


@pytest.mark.parametrize("write", [metrics, quarantine])
def test_a_file_that_can_grow_no_further_is_named(tmp_path, small_files, write):
    path = tmp_path / "file"
    with pytest.raises(FileError) as caught:
        write(path)
    assert caught.value.errno == errno.EFBIG
    assert str(user_error(caught.value)).startswith(f"{path}: File too large")


@pytest.mark.parametrize("write", [metrics, quarantine, any_text])
def test_a_folder_that_is_gone_is_named(tmp_path, write):
    path = tmp_path / "gone" / "file"
    with pytest.raises(FileError) as caught:
        write(path)
    error = user_error(caught.value)
    assert isinstance(error, ConfigError)
    faults_mention([error], (f"{path}: No such file or directory", f"folder {path.parent} "))


def test_a_removed_table_is_written_again(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    for step in (1, 2, 3):
        file.write({"step": step, "epoch": 0.5})
        (tmp_path / "metrics.csv").unlink() if step == 2 else None
    assert (tmp_path / "metrics.csv").read_text().split()[1:] == ["1,0.5", "2,0.5", "3,0.5"]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        ProcessLookupError(errno.ESRCH, "No such process"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        OSError("cannot load the library"),
    ],
)
def test_what_is_no_error_of_files_stays_what_it_is(error, tmp_path):
    assert not is_of_files(error)
    with pytest.raises(type(error)) as caught, writing(tmp_path / "x"):
        raise error
    assert caught.value is error


def test_an_error_of_another_file_is_not_renamed(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "copy") as temporary:
        shutil.copyfile(tmp_path / "source", temporary)
    assert str(caught.value.filename) == str(tmp_path / "source")


def test_a_mistake_of_the_program_while_writing_is_shown_as_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="size of tensor"), writing(tmp_path / "x"):
        torch.ones(2) + torch.ones(3)


def test_without_a_file_name_the_run_folder_is_named():
    error = user_error(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "runs/a")
    assert isinstance(error, RunError)
    assert str(error).startswith("runs/a: Disk quota exceeded (")


def test_a_checkpoint_that_may_not_be_read(tmp_path):
    with raises(CheckpointError, f"{tmp_path}: ", "folder", "regular file"):
        load_checkpoint(tmp_path)
