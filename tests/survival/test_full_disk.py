"""A disk that is full: before a run, at any byte of a save, during a run and at its end."""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmtx_cli.cli import main
from mmtx_cli.errors import RunError
from mmtx_cli.io import file_errors
from mmtx_cli.io.checkpoint import load_checkpoint
from mmtx_cli.io.file_errors import FileError, user_error
from mmtx_cli.training import checkpoint_io
from mmtx_cli.training.checkpoint_io import SafeCheckpointIO
from mmtx_cli.training.free_space import RunSpace, check_run_space
from tests.messages import mentions, raises
from tests.survival.lab import RUN
from tests.training.test_checkpoint_io import checkpoint_of, number_of

OFFSETS = 20
DISK = 8 * 2**20
"""Bytes of the small file system."""
TENSOR = 100_000
NEW_USER, NEW_MOUNTS = 0x10000000, 0x20000


def on_small_disk(folder: Path, work: Callable[[], None]) -> None:
    """Do something in a process that sees a file system of ``DISK`` bytes at ``folder``."""
    report = folder.with_name("report")
    if not (pid := os.fork()):
        status = 1
        try:
            if not mounted(folder):
                os._exit(77)
            work()
            status = 0
        except BaseException:
            report.write_text(traceback.format_exc())
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 77:
        pytest.skip("no file system can be mounted here")
    assert status == 0, report.read_text()


def mounted(folder: Path) -> bool:
    """Mount a small file system, which only this process sees."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS | (NEW_USER if user else 0)):
        return False
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "small", str(folder)]
    private = ["mount", "--make-rprivate", "/"]
    return all(subprocess.run(c, capture_output=True).returncode == 0 for c in (private, command))


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("known", [True, False], ids=["before it is written", "while it is"])
def test_at_any_byte_of_a_save(known, tmp_path, monkeypatch):
    """``known``: the space is missing before the save begins; else others take it meanwhile."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not known:
        monkeypatch.setattr(checkpoint_io, "check_space", lambda target, size: None)

    def fill_and_save() -> None:
        last = disk / "last.ckpt"
        writer = SafeCheckpointIO(2)
        writer.save_checkpoint(checkpoint_of(1, TENSOR), last)
        size = last.stat().st_size
        for number in range(OFFSETS):
            left = size * number // OFFSETS // 4096 * 4096
            with open(disk / "ballast", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - left)
            with pytest.raises(FileError) as caught:
                writer.save_checkpoint(checkpoint_of(2, TENSOR), last)
            error = user_error(caught.value)
            assert isinstance(error, RunError)
            mentions(error, f"{last}: No space left on device ", " free, about 1.6 MB needed")
            (disk / "ballast").unlink()
            assert number_of(last) == 1
            assert {path.name for path in disk.iterdir()} <= {"last.ckpt", "previous.ckpt"}
        writer.save_checkpoint(checkpoint_of(3, TENSOR), last)
        assert (number_of(last), number_of(disk / "previous.ckpt")) == (3, 1)

    on_small_disk(disk, fill_and_save)


def full_from(monkeypatch: pytest.MonkeyPatch, saves: range) -> None:
    """Let there be no space for some of the saves of a run."""
    number = iter(range(1000))
    plain = file_errors.free_space
    monkeypatch.setattr(
        checkpoint_io, "free_space", lambda path: 1000 if next(number) in saves else plain(path)
    )


def test_a_run_goes_on_without_a_save(survival_data, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    args = [*RUN, f"data.path={survival_data}", "trainer.max_steps=6", "trainer.save_every=2"]
    full_from(monkeypatch, range(1, 2))
    assert main([*args, f"run_dir={run}"]) == 0
    last = run / "checkpoints" / "last.ckpt"
    err = capsys.readouterr().err
    mentions(err, f"warning: {last}: not saved at step 4: No space left", "0.001 MB free", "resume")
    assert load_checkpoint(last)["global_step"] == 6


def test_a_last_save_has_to_succeed(survival_data, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    args = [*RUN, f"data.path={survival_data}", "trainer.max_steps=6", "trainer.save_every=2"]
    full_from(monkeypatch, range(2, 1000))
    assert main([*args, f"run_dir={run}"]) == 1
    last = run / "checkpoints" / "last.ckpt"
    err = capsys.readouterr().err
    mentions(err, f"mmtx pretrain: {last}: No space left", "needed", f"resume=true run_dir={run}")
    assert load_checkpoint(last)["global_step"] == 4
    assert not (run / "result.json").exists()


def test_a_best_that_was_not_saved_is_not_named(tmp_path):
    from unittest.mock import Mock

    from mmtx_cli.config.schema import TrainerSettings
    from mmtx_cli.distributed.lightning import pl
    from mmtx_cli.training.callbacks.checkpoint import SaveCallback

    writer = SafeCheckpointIO()
    save = SaveCallback(tmp_path, TrainerSettings(), writer)
    for value, failed, best in ((0.5, False, 0.5), (0.25, True, 0.5), (0.375, False, 0.375)):
        trainer = Mock(
            spec=pl.Trainer, callback_metrics={"val/loss": torch.tensor(value)}, global_step=1
        )
        trainer.save_checkpoint.side_effect = lambda *_, f=failed, **__: setattr(
            writer, "failed", f
        )
        save.on_validation_end(trainer, Mock(spec=pl.LightningModule))
        assert save.best == best


def test_before_a_run(tmp_path, monkeypatch, capsys):
    free = 10_000_000
    monkeypatch.setattr("mmtx_cli.training.free_space.free_space", lambda path: free)
    check_run_space(RunSpace(2_000_000, 1_000_000, 4, 0), tmp_path)
    assert not capsys.readouterr().err
    parts = ("needs 11 MB for 5 checkpoints of 2 MB", "10 MB free", "trainer.keep_checkpoints=1")
    with raises(RunError, f"run_dir={tmp_path}: ", *parts):
        check_run_space(RunSpace(2_000_000, 1_000_000, 5, 0), tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(bytes(2_000_000))
    check_run_space(RunSpace(2_000_000, 1_000_000, 5, 0), tmp_path)  # it will be replaced
    check_run_space(RunSpace(2_000_000, 1_000_000, 4, 9), tmp_path)
    mentions(capsys.readouterr().err, "warning: ", "9 kept checkpoints", "18 MB", "keep_every")


def test_the_estimate_is_that_of_a_real_run(survival_data, tmp_path, monkeypatch):
    spaces: list[RunSpace] = []
    monkeypatch.setattr(
        "mmtx_cli.training.free_space.check_run_space", lambda space, run: spaces.append(space)
    )
    args = [f"data.path={survival_data}", "trainer.max_steps=2", "trainer.ema=0.9"]
    assert main([*RUN, *args, f"run_dir={tmp_path / 'run'}"]) == 0
    size = (tmp_path / "run" / "checkpoints" / "last.ckpt").stat().st_size
    assert 0.5 * size < spaces[0].checkpoint <= size  # names and headers of tiny tensors count
    assert errno.ENOSPC in file_errors.DISK_FULL
