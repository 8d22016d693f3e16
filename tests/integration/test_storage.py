"""Disks and folders that fail a command: one message that says where and why, and no traceback."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import CAPTIONER, TINY, Done, environment, error_message, mmtx
from tests.messages import faults_mention, mentions

LONG_NAME = "a" * 300


def with_small_files(limit: int, *args: str, cwd: Path) -> Done:
    """A command none of whose files may become larger than ``limit`` KiB, as on a full disk."""
    shell = f'ulimit -f {limit}; exec "$@"'
    command = ["bash", "-c", shell, "bash", sys.executable, "-m", "mmtx_cli", *args]
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("command", ["finetune", pytest.param("eval", marks=pytest.mark.slow)])
def test_a_name_that_is_too_long(command, place, scenes, captioner):
    given = [*CAPTIONER, scenes] if command == "finetune" else [captioner, "bootstrap=2"]
    err = error_message(mmtx(command, *given, f"run_dir={LONG_NAME}", cwd=place))
    assert err.startswith(f"mmtx {command}: ")
    mentions(err, "run_dir: ", f" {LONG_NAME[:30]}… ", f" {len(LONG_NAME)} bytes")


def test_a_checkpoint_that_finds_no_room(place, scenes, tmp_path):
    done = with_small_files(
        50, "finetune", *CAPTIONER, scenes, f"run_dir={tmp_path / 'run'}", cwd=place
    )
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    faults_mention(done.stderr.splitlines()[-1:], (f"mmtx finetune: {last}: File too large",))
    assert list(last.parent.iterdir()) == []


@pytest.mark.slow
def test_an_export_that_finds_no_room(place, captioner, tmp_path):
    done = with_small_files(50, "export", captioner, f"out={tmp_path / 'model'}", cwd=place)
    err = error_message(done)
    faults_mention([err], (f"mmtx export: out={tmp_path / 'model'}: ", ": File too large"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metrics.csv", "result.json", "report.html", "model"])
def test_a_name_in_the_run_folder_that_is_taken(name, place, scenes, tmp_path):
    taken = tmp_path / "run" / name
    taken.parent.mkdir()
    taken.touch() if name == "model" else (taken / "below").mkdir(parents=True)
    taken.parent.mkdir(exist_ok=True)
    args = [*CAPTIONER, scenes, f"run_dir={tmp_path / 'run'}", "trainer.log_every=1"]
    err = error_message(mmtx("finetune", *args, cwd=place))
    assert f"mmtx finetune: {taken}: " in err


@pytest.mark.slow
def test_a_run_folder_that_is_removed_while_it_trains(place, scenes, tmp_path):
    run = tmp_path / "run"
    args = [*CAPTIONER, scenes, f"run_dir={run}", "trainer.max_steps=1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", "finetune", *args, "trainer.save_every=5"],
        cwd=place,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 240
    while not (run / "checkpoints" / "last.ckpt").exists() and time.monotonic() < limit:
        time.sleep(0.02)
    run.rename(tmp_path / "away")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2, err
    assert "Traceback" not in err
    mentions(err, f"mmtx finetune: {run}/", ": No such file or directory", f"folder {run}")
    assert not run.exists()
    shutil.rmtree(tmp_path / "away")


@pytest.mark.slow
def test_a_cache_that_finds_no_room(place, scenes, tmp_path):
    args = ["action=cache", *CAPTIONER[:5], *TINY, scenes, f"out={tmp_path / 'cache'}"]
    done = with_small_files(10, "data", *args, cwd=place)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    shard = tmp_path / "cache" / "encoder.image" / "000000.safetensors"
    faults_mention(done.stderr.splitlines()[-1:], (f"mmtx data: {shard}: File too large",))
