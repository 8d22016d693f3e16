"""What a terminal, ``timeout`` or a scheduler send, and what becomes of a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.distributed.signals import SIGNALS
from mmtx_cli.errors import Interrupted
from mmtx_cli.synthetic.scenes.make import make_scenes
from mmtx_cli.training.callbacks.checkpoint import SaveCallback
from tests.command_line import PRETRAINING, stopped
from tests.messages import mentions

LOCKING = """
import os, sys, time
from pathlib import Path
from mmtx_cli.runs.run_dir import lock
lock(Path(sys.argv[1]))
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
"""
WORKING = """
import multiprocessing, os, signal, sys, time
from mmtx_cli.data.loader_worker import init_worker
def work(pipe):
    init_worker(0)
    pipe.send(os.getpid())
    time.sleep(60)
here, there = multiprocessing.Pipe()
multiprocessing.get_context("fork").Process(target=work, args=(there,)).start()
print(here.recv(), flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    """Does the process run? One that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.slow) for n in SIGNALS if n != signal.SIGTERM),
    ],
    ids=lambda number: signal.Signals(number).name,
)
def test_a_signal_to_the_whole_group_ends_the_run_with_a_save(tmp_path, number):
    """The loader's workers get it, too, and are not to end before the step that needs them."""
    manifest = make_scenes(tmp_path / "scenes", num=60, size=32)
    run = tmp_path / "run"
    args = ["pretrain", *PRETRAINING, "data.num_workers=2", "trainer.max_steps=5000"]
    args += ["trainer.save_every=1", f"data.path={manifest}", f"run_dir={run}"]
    last = run / "checkpoints" / "last.ckpt"
    done = stopped(args, None, number, last.exists, group=True)
    assert done.returncode == 128 + number, done.stderr
    mentions(done.stderr, f"signal {int(number)}", f" {last}", f" resume=true run_dir={run}")
    assert "Traceback" not in done.stderr


def test_a_second_signal_ends_at_once(tmp_path):
    save = SaveCallback(tmp_path, TrainerSettings())
    save.stop.note(signal.SIGTERM, None)
    with pytest.raises(Interrupted) as caught:
        save.stop.note(signal.SIGINT, None)
    assert caught.value.number == signal.SIGINT
    mentions(caught.value, "signal 2;", "saved")
    assert str(tmp_path) not in str(caught.value)
    save.last_path.touch()
    with pytest.raises(Interrupted) as caught:
        save.stop.note(signal.SIGTERM, None)
    mentions(caught.value, "signal 15;", f" {save.last_path}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_runs_workers_do_not_hold_its_folder(tmp_path):
    import fcntl

    started = subprocess.Popen(
        [sys.executable, "-c", LOCKING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    worker = int(started.stdout.readline())
    started.kill()
    started.wait()
    assert is_alive(worker)
    with open(tmp_path / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(worker, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")
def test_a_worker_outlives_the_groups_signals_and_not_its_parent():
    started = subprocess.Popen(
        [sys.executable, "-c", WORKING], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    worker = int(started.stdout.readline())
    for number in SIGNALS:
        os.kill(worker, number)
    time.sleep(0.2)
    assert is_alive(worker)
    started.kill()
    started.wait()
    limit = time.monotonic() + 30
    while is_alive(worker) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not is_alive(worker)
