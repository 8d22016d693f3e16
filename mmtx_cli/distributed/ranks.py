"""The processes that share this one's work: none outlives it, and none fails without its end.

Nothing heavy is imported: the command line asks here at every end.
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
"""The variable by which a process knows that mmtx has started it, and which process did."""
STARTED: list[subprocess.Popen] = []
"""Ranks 1, 2, … of this machine."""
PATIENCE, AFTER_SIGNAL = 60.0, 10.0
"""Seconds that ranks have to end by themselves where all is well, and where a signal stops all."""
MOMENT = 3.0
"""Seconds after which a rank that fails has ended, once its connections are closed."""
_PEER = re.compile(r"by peer|broken pipe|NCCL|gloo", re.I)
_AT_ONCE = 0.05
FOLLOWS = False
"""Is this a rank that rank 0 has started? What happens to all of them, that one tells."""


@contextmanager
def parent() -> Iterator[None]:
    """What is started here ends with this process."""
    os.environ[PARENT] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[PARENT]


def end_with_parent() -> None:
    """End with the process that started this one, if that was mmtx."""
    global FOLLOWS
    if (number := os.environ.pop(PARENT, None)) is not None:
        from mmtx_cli.media.worker.child import end_with

        FOLLOWS = os.environ.get("LOCAL_RANK", "0") != "0"
        end_with(int(number))


def started(
    command: Sequence[str], env: Mapping[str, str] | None = None, **how: Any
) -> subprocess.Popen:
    """Start a command that ends with this process, in a group of its own.

    What is sent to the whole group of this process (Ctrl-C) reaches the command but once: from
    this process, which passes it on.
    """
    env = {**(os.environ if env is None else env), PARENT: str(os.getpid())}
    # this program with arguments of its own, without a shell
    return subprocess.Popen([*command], env=env, process_group=0, **how)  # nosec B603


def finished(command: Sequence[str]) -> int:
    """Run a command to its end; gives its exit status, 128 + the signal if one ended it.

    Signals that this process gets meanwhile go to the command.
    """
    got: list[int] = []
    process: subprocess.Popen | None = None

    def pass_on(number: int, frame: object) -> None:
        got.append(number)
        if process is not None:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        process = started(command)
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if got:  # also where the command was done just then
        return 128 + got[0]
    return 128 - status if status < 0 else status


def failed(joined: bool = True) -> str | None:
    """What became of the first rank that has failed, be it by an end before all have ``joined``."""
    for number, process in enumerate(STARTED, 1):
        status = process.poll()
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            return f"rank {number} was ended by {name}, for lack of memory or from outside"
        if status or (status == 0 and not joined):
            return f"rank {number} ended with status {status}; what it said is above"
    return None


def status() -> int:
    """The exit status of a job of which a rank has failed: that rank's, if it is one of ours."""
    codes = [process.poll() for process in STARTED]
    known = (2, *(128 + number for number in SIGNALS))
    return next((code for code in codes if code is not None and code in known), 1)


def lost(error: RuntimeError) -> str | None:
    """What became of another rank, if this error is but the end of its connection.

    A rank that was started waits for its own end: rank 0 tells of it.
    """
    if FOLLOWS and _PEER.search(str(error)):
        time.sleep(PATIENCE)
    limit = time.monotonic() + MOMENT
    while STARTED and failed() is None and time.monotonic() < limit:
        time.sleep(_AT_ONCE)
    return failed()


def patience(status: int) -> float:
    """Seconds that the ranks have once this process ends with ``status``; none after a failure."""
    if status == 0:
        return PATIENCE
    return AFTER_SIGNAL if status > 128 else 0.0


def end(patience: float) -> None:
    """Let the ranks that were started end by themselves for a while, then kill them."""
    limit = time.monotonic() + patience
    for process in STARTED:
        try:
            process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    STARTED.clear()


def is_first_process() -> bool:
    """Does this process write what one process writes?"""
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    numbers = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in numbers)
