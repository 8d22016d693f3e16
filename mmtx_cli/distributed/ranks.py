"""Subprocesses that share this process's work: they end with it, and it ends if one of them fails.

Imports nothing heavy, since the command line uses it whenever it exits.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mmtx_cli.distributed.signals import SIGNALS

PARENT = "MMTX_PARENT"
"""Environment variable of a process that mmtx started; holds the parent's PID."""
STARTED: list[subprocess.Popen] = []
"""Ranks 1, 2, … on this machine."""
PATIENCE, AFTER_SIGNAL = 60.0, 10.0
"""Seconds that ranks have to end by themselves after success, and after a stop signal."""
MOMENT = 3.0
"""Seconds within which a failing rank exits after its connections are closed."""
_PEER = re.compile(r"by peer|broken pipe|NCCL|gloo", re.I)
_POLL_SECONDS = 0.05
STARTED_BY_RANK_0 = False
"""True in a rank that rank 0 has started; rank 0 reports the failures of all ranks."""


@contextmanager
def parent() -> Iterator[None]:
    """End all processes that are started in this context together with this process."""
    os.environ[PARENT] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[PARENT]


def end_with_parent() -> None:
    """End this process together with the one that started it, if that was mmtx."""
    global STARTED_BY_RANK_0
    if (number := os.environ.pop(PARENT, None)) is not None:
        from mmtx_cli.media.worker.child import die_with_parent

        STARTED_BY_RANK_0 = os.environ.get("LOCAL_RANK", "0") != "0"
        die_with_parent(int(number))


def started(
    command: Sequence[str], env: Mapping[str, str] | None = None, **kwargs: Any
) -> subprocess.Popen:
    """Start a command that ends with this process, in its own process group.

    Signals sent to this process's group (Ctrl-C) reach the command only once: this process forwards
    them.
    """
    env = {**(os.environ if env is None else env), PARENT: str(os.getpid())}
    # runs this program with its own arguments, without a shell
    return subprocess.Popen([*command], env=env, process_group=0, **kwargs)  # nosec B603


def finished(command: Sequence[str]) -> int:
    """Run a command and return its exit status, or 128 + the number of the signal that ended it.

    Signals that this process receives in the meantime are forwarded to the command.
    """
    received: list[int] = []
    process: subprocess.Popen | None = None

    def forward(number: int, frame: object) -> None:
        received.append(number)
        if process is not None:
            process.send_signal(number)

    previous = {number: signal.signal(number, forward) for number in SIGNALS}
    try:
        process = started(command)
        status = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:  # even if the command had just finished
        return 128 + received[0]
    return 128 - status if status < 0 else status


def failed(joined: bool = True) -> str | None:
    """Return a message about the first failed rank, or None.

    Ending before all ranks have ``joined`` counts as a failure.
    """
    for number, process in enumerate(STARTED, 1):
        status = process.poll()
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            return f"rank {number} was killed by {name} (out of memory, or killed externally)"
        if status or (status == 0 and not joined):
            return f"rank {number} exited with status {status}; see its output above"
    return None


def status() -> int:
    """Return the exit status after a rank failed: its own if it is 2 or a stop signal's, else 1."""
    codes = [process.poll() for process in STARTED]
    known = (2, *(128 + number for number in SIGNALS))
    return next((code for code in codes if code is not None and code in known), 1)


def lost(error: RuntimeError) -> str | None:
    """Return why another rank failed, if ``error`` results from its closed connection, else None.

    A rank that rank 0 started waits here to be ended, since rank 0 reports the failure.
    """
    if STARTED_BY_RANK_0 and _PEER.search(str(error)):
        time.sleep(PATIENCE)
    limit = time.monotonic() + MOMENT
    while STARTED and failed() is None and time.monotonic() < limit:
        time.sleep(_POLL_SECONDS)
    return failed()


def patience(status: int) -> float:
    """Return how many seconds the ranks have to end after this process exits with ``status``.

    They have none after a failure.
    """
    if status == 0:
        return PATIENCE
    return AFTER_SIGNAL if status > 128 else 0.0


def end(patience: float) -> None:
    """Wait for the started ranks to end by themselves, then kill the remaining ones."""
    limit = time.monotonic() + patience
    for process in STARTED:
        try:
            process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    STARTED.clear()


def is_first_process() -> bool:
    """Return True in the process that writes the shared outputs (rank 0)."""
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    numbers = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in numbers)
