"""The command line as a user has it: a process of its own on real files."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from mmtx_cli.cli import main
from tests import fork_server

TINY_IMAGE = (
    "encoder/image=vit",
    "encoder.image.patch_size=16",
    "encoder.image.width=16",
    "encoder.image.depth=1",
    "encoder.image.num_heads=2",
)
TINY = (
    "dim=16",
    "image_size=32",
    "max_length=16",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
)
CAPTIONER = (
    *TINY_IMAGE,
    *TINY,
    "fusion=concat",
    "head=captioning",
    "decoder.depth=1",
    "decoder.num_heads=2",
)
CONTRASTIVE = (
    *TINY_IMAGE,
    *TINY,
    "encoder/text=transformer",
    "encoder.text.width=16",
    "encoder.text.depth=1",
    "encoder.text.num_heads=2",
)
PRETRAINING = (
    "experiment=scenes_pretrain",
    *TINY_IMAGE[2:4],
    *TINY[:2],
    "encoder.text.width=16",
    "encoder.text.depth=1",
    "head=[contrastive,captioning]",
    "head.captioning.streams=[image]",
    "decoder.depth=1",
    "generation.num_beams=2",
    *TINY[3:6],
)

Done = subprocess.CompletedProcess


def environment(**more: str) -> dict[str, str]:
    """One thread and no GPU: the models are tiny."""
    plain = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "MMTX_DEBUG": "0"}
    return {**os.environ, **plain, **more}


def mmtx(*args: str, cwd: Path | None = None, **env: str) -> Done:
    """``python -m mmtx_cli`` with these arguments."""
    if fork_server.usable(all_env := environment(**env)):
        return fork_server.run(args, os.path.abspath(cwd or "."), all_env)
    return subprocess.run(
        [sys.executable, "-m", "mmtx_cli", *args],
        cwd=cwd,
        env=all_env,
        capture_output=True,
        text=True,
        timeout=300,
    )


def error_message(done: Done) -> str:
    """Standard error of a command that refused what a user asked; it is a message, no traceback."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


def refused(*args: str, cwd: Path | None = None) -> str:
    """Standard error of a command that is refused, run in this process.

    A command that stops before it has begun needs no process of its own, which takes seconds.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        chdir(cwd or "."),
        redirect_stdout(out),
        redirect_stderr(err),
        patch.dict(os.environ, environment()),
        patch.object(sys, "argv", ["mmtx", *args]),
    ):
        status = main(list(args))
    return error_message(Done(args, status, out.getvalue(), err.getvalue()))


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status, standard output and error together, and most memory."""

    status: int
    output: str
    peak: int


def forked(*args: str, cwd: Path, seconds: int = 120, **env: str) -> Ended:
    """Run a command in a copy of this process, which has imported everything already.

    The copy begins with the memory of this one, and is killed after ``seconds``.
    """
    with tempfile.TemporaryFile() as file:
        if not (pid := os.fork()):
            _run_command(args, cwd, file.fileno(), seconds, environment(**env))
        _, status, usage = os.wait4(pid, 0)
        file.seek(0)
        output = file.read().decode(errors="replace")
    return Ended(os.waitstatus_to_exitcode(status), output, usage.ru_maxrss * 1024)


def _run_command(
    args: Sequence[str], cwd: Path, output: int, seconds: int, env: dict[str, str]
) -> None:
    """Never return into what the process was doing."""
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for number, name in ((1, "stdout"), (2, "stderr")):
            setattr(sys, name, io.TextIOWrapper(io.FileIO(number, "w", closefd=False)))
        os.chdir(cwd)
        os.environ.update(env)
        sys.path.insert(0, str(cwd))  # as ``python -m`` does
        sys.argv = ["mmtx", *args]
        status = main([*args])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def succeeded(done: Done) -> Path:
    """The run folder: the last line on standard output of a command that did its work."""
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return Path(done.stdout.splitlines()[-1])


def stopped(
    args: Sequence[str],
    cwd: Path | None,
    number: signal.Signals,
    ready: Callable,
    group: bool = False,
) -> Done:
    """Send a signal to a command (``group``: and to all that it started) once it is ``ready``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *args],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a job in a shell's background ignores Ctrl-C, and so would what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=group,
    )
    limit = time.monotonic() + 240
    while not ready() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, number) if group else process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return Done(process.args, process.returncode, out, err)
