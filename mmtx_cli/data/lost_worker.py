"""One clear error message for a data loader worker that dies: what it was reading, what to do."""

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

from mmtx_cli.data.loader_worker import file_read_by
from mmtx_cli.errors import RunError

_WORKER_ERROR = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? (?P<pid>\d+)[^)]*\) "
    r"(?:is killed by signal: (?P<signal>.*?)\. |"
    r"exited unexpectedly(?: with exit code (?P<code>\d+))?)"
)
_RESUME = "continue a training run with resume=true"


class LostWorkerError(RunError):
    """Raised if a data loader worker died."""


class Watch:
    """Wraps torch's SIGCHLD handler, so that its error names the lost worker's file."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGCHLD."""
        with reporting_lost_worker():
            self.handler(number, frame)


def watch_workers() -> None:
    """Install ``Watch``, since torch's handler raises in whatever code is running."""
    atexit.unregister(kill_workers)
    atexit.register(kill_workers)  # runs before multiprocessing's handler, which joins the workers
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and not isinstance(handler, Watch):
        signal.signal(signal.SIGCHLD, Watch(handler))


def kill_workers() -> None:
    """Kill the remaining workers when this process exits.

    After losing one worker, torch does not stop the others, and they ignore the SIGTERM that
    multiprocessing sends before joining them.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # do not report these as lost
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


@contextmanager
def reporting_lost_worker(workers: Sequence[BaseProcess] = ()) -> Iterator[None]:
    """Replace torch's error of a lost worker by one that names the file it was reading.

    Torch's signal handler may raise anywhere, so other errors may be raised while handling its
    error. ``workers`` are the workers in question, if known.
    """
    try:
        yield
    except LostWorkerError:
        raise
    except Exception as error:
        if (lost := lost_worker_error(error, workers)) is None:
            raise
        raise lost from None


def lost_worker_error(
    error: BaseException | None, workers: Sequence[BaseProcess] = ()
) -> LostWorkerError | None:
    """Return the lost-worker error that caused an error, or in whose handling it was raised."""
    while error is not None:
        if isinstance(error, LostWorkerError):
            return error
        cause = error.__cause__ or error.__context__
        message = lost_worker_message(str(error), {w.pid: w.exitcode for w in workers})
        # torch reports an already known loss a second time, with fewer details
        if message is not None and not isinstance(cause, LostWorkerError):
            return LostWorkerError(message)
        error = cause
    return None


def wait_for_lost_worker(workers: Sequence[BaseProcess], seconds: float = 20.0) -> None:
    """Wait for a worker to die and raise LostWorkerError; return after the timeout if none does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for worker in workers:
            if worker.pid and worker.exitcode:  # its SIGCHLD may have been missed
                raise LostWorkerError(exit_message(worker.pid, worker.exitcode))
        time.sleep(0.05)


def lost_worker_message(
    text: str, exits: Mapping[int | None, int | None] | None = None
) -> str | None:
    """Return the message for torch's error of a lost worker; None for any other error.

    ``exits`` maps process ids to exit codes (negative signal numbers), which torch may not know
    yet.
    """
    match = _WORKER_ERROR.search(text)
    if match is None:
        return None
    pid = int(match["pid"])
    status = int(match["code"] or (exits or {}).get(pid) or 0)
    return exit_message(pid, status, match["signal"])


def exit_message(pid: int, status: int, name: str | None = None) -> str:
    """Return the message for a worker that ended.

    Args:
        pid: Its process id.
        status: Its exit code, or minus the signal number; 0 if unknown.
        name: The signal that killed it (default: from ``status``).
    """
    path = file_read_by(pid)
    where = f" while reading {path}" if path else ""
    how, remedy = "ended unexpectedly", "see its error message above"
    if status > 0:
        how = f"ended with exit status {status}"
    if name := name or (signal.strsignal(-status) if status < 0 else None):
        how = f"was killed by a signal ({name})"
        remedy = _remedy(name, path)
    return f"data loader worker (process {pid}) {how}{where}; {remedy}; {_RESUME}"


def _remedy(name: str, path: str | None) -> str:
    if name == signal.strsignal(signal.SIGKILL):
        return (
            "the system may have run out of memory: use fewer workers (data.num_workers), a "
            "smaller data.batch_size, or more memory"
        )
    if name == signal.strsignal(signal.SIGBUS):
        return (
            "the shared memory (/dev/shm) may be full: use fewer workers (data.num_workers) or "
            "make it larger"
        )
    file = "replace the file or remove its row" if path else "a file may have crashed a decoder"
    return f"{file}; mmtx data action=check decode=true finds such files"
