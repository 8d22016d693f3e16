"""Commands whose workers are killed: one message, exit status 1, no traceback."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from mmtx_cli.synthetic.scenes import make_scenes
from tests.command_line import CAPTIONER, environment, mmtx, succeeded
from tests.messages import mentions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="reads /proc"),
]


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(number) for number in file.read().split()]


def with_a_killed_worker(args, number):
    """Run a command, and kill one of its workers whenever it has two."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *args],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:  # the first may be at its end already
        if len(found := children(process.pid)) >= 2:
            with suppress(ProcessLookupError):
                os.kill(found[-1], number)
            time.sleep(1)
        time.sleep(0.02)
    return process.returncode, process.stderr.read()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lost")
    data = make_scenes(folder / "scenes", num=400, size=32)
    run_dir = folder / "run"
    succeeded(mmtx("finetune", *CAPTIONER, f"data.path={data}", f"run_dir={run_dir}"))
    return data, run_dir


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("command", ["finetune", "eval", "caption", "cache"])
def test_one_message(trained, tmp_path, command, number):
    data, run = trained
    more = ["data.num_workers=2", f"run_dir={tmp_path / 'r'}", "trainer.accelerator=cpu"]
    args = {
        "finetune": [*CAPTIONER, f"data.path={data}", "trainer.max_steps=100000", *more],
        "eval": [f"ckpt={run}", "split=train", f"data.path={data}", "data.batch_size=1", *more],
        "caption": [f"ckpt={run}", f"inputs={data.parent}", "data.batch_size=1", *more],
        "cache": [
            "action=cache",
            f"ckpt={run}",
            f"data.path={data}",
            f"out={tmp_path / 'kept'}",
            "data.batch_size=1",
            *(more[i] for i in (0, 2)),
        ],
    }[command]
    name = "data" if command == "cache" else command
    status, err = with_a_killed_worker([name, *args], number)
    assert status == 1, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("mmtx ")] or [err]
    mentions(line, f"mmtx {name}: ", "worker", "process ", "resume=true")
    # where torch has not seen the signal, none is named
    assert f"({signal.strsignal(number)})" in line or "signal" not in line
