"""Setup of data loader workers: signals, lifetime, and a record of the file being read."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from mmtx_cli.media.worker.child import GROUP_SIGNALS, die_with_parent, set_handler

_NOTE = 1024
"""Bytes per worker's note."""


class Notes:
    """The file each worker is reading, in memory shared with the parent process.

    Without it, a killed worker would leave no trace of the file that caused its death.
    """

    def __init__(self, workers: int) -> None:
        self.memory: Any = multiprocessing.RawArray(ctypes.c_char, _NOTE * workers)
        _all_notes.add(self)

    def write(self, worker: int, text: str) -> None:
        """Replace the note of this process, the worker with this number."""
        note = f"{os.getpid()} {text}".encode("utf-8", "surrogateescape")[: _NOTE - 1]
        self.memory[_NOTE * worker : _NOTE * (worker + 1)] = note.ljust(_NOTE, b"\0")

    def read(self) -> Iterator[tuple[int, str]]:
        """Yield process id and text of every worker's note."""
        memory = self.memory.raw
        for offset in range(0, len(memory), _NOTE):
            note = memory[offset : offset + _NOTE].rstrip(b"\0").decode("utf-8", "replace")
            pid, _, text = note.partition(" ")
            if pid:
                yield int(pid), text


_all_notes: "WeakSet[Notes]" = WeakSet()
_current: tuple[Notes, int] | None = None


def init_worker(number: int, notes: Notes | None = None) -> None:
    """Initialize a worker: ignore process group signals, and end with the parent.

    Signals to the whole group (Ctrl-C, ``timeout``, ``scancel``) are left to the parent, which
    finishes its step, saves, and stops its workers. If the parent is killed, so are they. Worker
    ``number`` records what it reads in ``notes``.
    """
    global _current
    set_handler(GROUP_SIGNALS, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _group_signals())
    parent = multiprocessing.parent_process()
    die_with_parent(os.getppid() if parent is None or parent.pid is None else parent.pid)
    _current = None if notes is None else (notes, number)


@contextmanager
def group_signals_blocked() -> Iterator[None]:
    """Block the signals that ``init_worker`` ignores, while workers are started.

    Otherwise such a signal would end a worker that does not ignore it yet.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _group_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _group_signals() -> list[int]:
    return [getattr(signal, name) for name in GROUP_SIGNALS if hasattr(signal, name)]


@contextmanager
def reading(sample: str, path: str) -> Iterator[None]:
    """Record that this process, if it is a worker, is reading a file; clear it afterwards."""
    if _current is None:
        yield
        return
    notes, number = _current
    notes.write(number, f"{path} (sample {sample})")
    try:
        yield
    finally:
        notes.write(number, "")


def file_read_by(pid: int) -> str | None:
    """Return the file that a worker was reading when it ended, or None if unknown."""
    found = (text for notes in _all_notes for process, text in notes.read() if process == pid)
    return next(found, None) or None
