"""Start, query and end the decoder process, forked where the system supports it."""

import contextlib
import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from io import FileIO
from typing import Any

from mmtx_cli.media.worker.child import live_forked
from mmtx_cli.media.worker.ipc import Parts, fill_from, receive, write
from mmtx_cli.media.worker.serialization import MAX_ARRAYS, MAX_HEADER, unpack_answer

# added to the parent's timeout: only a child whose parent is gone runs this long
_ORPHAN_SECONDS = 10.0
_SERVE = "from mmtx_cli.media.worker.child import live_spawned; live_spawned({limit}, {memory})"


class Forked:
    """A fork of this process: starts in milliseconds with every module loaded."""

    def __init__(self, timeout: float, memory: int) -> None:
        self.memory = memory
        request_end, self_request = os.pipe()
        self_result, result_end = os.pipe()
        _widen(result_end)
        self.owner = os.getpid()
        # to the kernel the parent is the forking thread, which may end before its process
        in_main_thread = threading.current_thread() is threading.main_thread()
        self.pid = _fork()
        if not self.pid:
            parent = self.owner if in_main_thread else None
            live_forked(request_end, result_end, parent, _limit(timeout), memory)
        os.close(request_end)
        os.close(result_end)
        self.requests, self.results = FileIO(self_request, "wb"), FileIO(self_result, "rb")
        self.status: int | None = None
        self.poll = select.poll()
        self.poll.register(self_result, select.POLLIN)

    def ask(self, request: Parts, timeout: float) -> Any:
        """Send a request and return the answer, as ``unpack_answer`` does.

        Raises:
            TimeoutError: if it takes longer than ``timeout`` seconds.
            EOFError: if the process has ended.
            ValueError: if the answer is malformed, or larger than the memory limit.
        """
        remaining = timeout

        def fill(view: memoryview) -> None:
            nonlocal remaining
            while view:
                remaining = self._readable(remaining)
                count = self.results.readinto(view)
                if not count:
                    raise EOFError
                view = view[count:]

        try:
            write(self.requests, request)
        except BrokenPipeError:
            raise EOFError from None
        return _unpacked(fill, self.memory)

    def _readable(self, remaining: float) -> float:
        """Wait for the result and return the seconds left of the timeout.

        Waits in steps of a second: time for which this process was itself stopped (Ctrl-Z, a
        suspended laptop) counts as one step.
        """
        while remaining > 0:
            step, start = min(remaining, 1.0), time.monotonic()
            if self.poll.poll(1000 * step):
                return remaining - min(step, time.monotonic() - start)
            remaining -= step
        raise TimeoutError

    def is_alive(self) -> bool:
        """Return True if it can be queried; False in a fork of the process that started it."""
        return self.owner == os.getpid() and self._reap(os.WNOHANG) is None

    def end(self, grace: float = 0.0) -> int:
        """Return the exit status, killing the process if it does not end within ``grace`` seconds.

        The status is -n for a process killed by signal n.
        """
        self.requests.close()
        self.results.close()
        if self.owner != os.getpid():
            return 0
        deadline = time.monotonic() + grace
        while self._reap(os.WNOHANG) is None and time.monotonic() < deadline:
            time.sleep(0.001)
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap(0)
        assert self.status is not None
        return self.status

    def _reap(self, options: int) -> int | None:
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # already reaped by a wait for any child
                pid, status = self.pid, 0
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status


class Spawned:
    """A new interpreter, for systems without fork; its first answer waits for its imports."""

    def __init__(self, timeout: float, memory: int) -> None:
        self.memory = memory
        self.slack = 120.0
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        # this interpreter with a fixed program, without a shell
        self.process = subprocess.Popen(  # nosec B603
            [
                sys.executable,
                "-c",
                _SERVE.format(limit=_limit(timeout + self.slack), memory=memory),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            bufsize=0,
        )

    def ask(self, request: Parts, timeout: float) -> Any:
        """Send a request and return the answer; see ``Forked.ask``."""
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            self.process.kill()

        timer = threading.Timer(min(timeout + self.slack, threading.TIMEOUT_MAX), stop)
        timer.daemon = True
        timer.start()
        try:
            write(self.process.stdin, request)  # type: ignore[arg-type]
            answer = _unpacked(lambda view: fill_from(self.process.stdout, view), self.memory)  # type: ignore[arg-type]
        except (EOFError, OSError):
            raise (TimeoutError if timed_out.is_set() else EOFError) from None
        finally:
            timer.cancel()
        self.slack = 0.0
        return answer

    def is_alive(self) -> bool:
        """Return True if it can be queried."""
        return self.process.poll() is None

    def end(self, grace: float = 0.0) -> int:
        """Return the exit status; see ``Forked.end``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return self.process.wait()


Child = Forked if hasattr(os, "fork") else Spawned
"""The kind of child process that this system supports."""


def _unpacked(fill: Callable[[memoryview], None], memory: int) -> Any:
    """Read an answer of at most ``memory`` bytes, which an intact process cannot exceed."""
    return unpack_answer(receive(fill, MAX_HEADER, MAX_ARRAYS, memory))


def _fork() -> int:
    """Fork with signals blocked, so that none reaches a child before it is set up."""
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    gc_enabled = gc.isenabled()
    gc.disable()
    pid = 1
    try:
        with warnings.catch_warnings():
            # Python warns if there are threads; the child uses no lock that they may hold
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        return pid
    finally:
        if pid:
            if gc_enabled:
                gc.enable()
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def _widen(pipe: int) -> None:
    """Enlarge a pipe to hold a whole result, which saves context switches."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # Linux only, with a quota
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)


def _limit(timeout: float) -> float | None:
    return None if timeout == float("inf") else timeout + _ORPHAN_SECONDS
