"""A worker of a loader that dies ends the run with one message: of what, and what to do."""

import atexit
import multiprocessing
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from mmtx_cli.data.loader_worker import read_by
from mmtx_cli.errors import RunError

_LOST = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? (?P<pid>\d+)[^)]*\) "
    r"(?:is killed by signal: (?P<signal>.*?)\. |"
    r"exited unexpectedly(?: with exit code (?P<code>\d+))?)"
)
_RESUME = "a run of training goes on with resume=true"


class LostWorkerError(RunError):
    """A process that decodes for a loader has died."""


class Watch:
    """Takes the handler of torch's that raises where a worker dies, and names the loss."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGCHLD."""
        with named_loss():
            self.handler(number, frame)


def watch_workers() -> None:
    """Name the loss of any worker from now on: torch raises in the midst of whatever goes on."""
    atexit.unregister(kill_workers)
    atexit.register(kill_workers)  # before that of multiprocessing, which waits for them
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and not isinstance(handler, Watch):
        signal.signal(signal.SIGCHLD, Watch(handler))


def kill_workers() -> None:
    """End the workers that are left at the end of this process.

    Where one was lost, torch does not tell the others to end, and they ignore SIGTERM, by which
    multiprocessing would end them before it waits for them.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # these are no losses
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


@contextmanager
def named_loss(workers: Sequence[BaseProcess] = ()) -> Iterator[None]:
    """Replace torch's error of a lost worker by one that names what the worker was reading.

    The signal of torch's handler may arrive anywhere, so that other errors are raised from it.
    ``workers`` are those that may be lost, where they are known.
    """
    try:
        yield
    except LostWorkerError:
        raise
    except Exception as error:
        if (loss := loss_behind(error, workers)) is None:
            raise
        raise loss from None


def loss_behind(
    error: BaseException | None, workers: Sequence[BaseProcess] = ()
) -> LostWorkerError | None:
    """The loss of a worker that an error tells of, or in whose handling it was raised."""
    while error is not None:
        if isinstance(error, LostWorkerError):
            return error
        further = error.__cause__ or error.__context__
        message = lost_worker(str(error), {w.pid: w.exitcode for w in workers})
        # with a loss behind it, torch reports that loss again, with less
        if message is not None and not isinstance(further, LostWorkerError):
            return LostWorkerError(message)
        error = further
    return None


def wait_for_loss(workers: Sequence[BaseProcess], seconds: float = 20.0) -> None:
    """Wait until one of the workers has died, and raise that; return if none has."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        for worker in workers:
            if worker.pid and worker.exitcode:  # the signal of its death may have been lost
                raise LostWorkerError(loss_of(worker.pid, worker.exitcode))
        time.sleep(0.05)


def lost_worker(text: str, exits: Mapping[int | None, int | None] | None = None) -> str | None:
    """The message for torch's error of a lost worker; None for any other error.

    ``exits`` are exit statuses by process, minus the number of a signal; torch does not always
    know them yet.
    """
    found = _LOST.search(text)
    if found is None:
        return None
    pid = int(found["pid"])
    status = int(found["code"] or (exits or {}).get(pid) or 0)
    return loss_of(pid, status, found["signal"])


def loss_of(pid: int, status: int, name: str | None = None) -> str:
    """The message for a worker that ended.

    Args:
        pid: Its process.
        status: Its exit status, minus the number of a signal; 0 if it is not known.
        name: The signal by which it was killed (default: that of ``status``).
    """
    path = read_by(pid)
    where = f" while it read {path}" if path else ""
    how, remedy = "ended unexpectedly", "its own words stand above"
    if status > 0:
        how = f"ended with exit status {status}"
    if name := name or (signal.strsignal(-status) if status < 0 else None):
        how = f"was killed by a signal ({name})"
        remedy = _remedy(name, path)
    return f"a worker that loads data (process {pid}) {how}{where}; {remedy}; {_RESUME}"


def _remedy(name: str, path: str | None) -> str:
    if name == signal.strsignal(signal.SIGKILL):
        return (
            "the system kills where memory runs out: use fewer workers (data.num_workers), a "
            "smaller data.batch_size, or more memory"
        )
    if name == signal.strsignal(signal.SIGBUS):
        return (
            "the shared memory (/dev/shm) may be full: use fewer workers (data.num_workers) or "
            "make it larger"
        )
    file = "replace the file or remove its row" if path else "a file may have crashed a decoder"
    return f"{file}; mmtx data action=check decode=true finds files that do this"
