"""How a loader's worker behaves: it works for its parent, ends with it, and notes what it reads."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from mmtx_cli.media.worker.child import GROUP_SIGNALS, end_with, set_handler

_NOTE = 1024
"""Bytes for what one worker reads."""


class Notes:
    """What each worker of a loader is reading, in memory that it shares with its parent.

    A worker that is killed leaves no other trace of the file that it died of.
    """

    def __init__(self, workers: int) -> None:
        self.memory: Any = multiprocessing.RawArray(ctypes.c_char, _NOTE * workers)
        _kept.add(self)

    def write(self, worker: int, text: str) -> None:
        """Replace the note of this process, which is the worker of that number."""
        note = f"{os.getpid()} {text}".encode("utf-8", "surrogateescape")[: _NOTE - 1]
        self.memory[_NOTE * worker : _NOTE * (worker + 1)] = note.ljust(_NOTE, b"\0")

    def read(self) -> Iterator[tuple[int, str]]:
        """Process and text of every worker's note."""
        memory = self.memory.raw
        for at in range(0, len(memory), _NOTE):
            note = memory[at : at + _NOTE].rstrip(b"\0").decode("utf-8", "replace")
            pid, _, text = note.partition(" ")
            if pid:
                yield int(pid), text


_kept: "WeakSet[Notes]" = WeakSet()
_own: tuple[Notes, int] | None = None


def settle(number: int, notes: Notes | None = None) -> None:
    """Leave the signals that a whole process group gets (Ctrl-C, ``timeout``, ``scancel``) to the
    parent: it finishes its step, saves, and ends its workers. If it is killed, so are they.

    What worker ``number`` reads from then on, it writes into ``notes``.
    """
    global _own
    set_handler(GROUP_SIGNALS, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    end_with(os.getppid() if parent is None or parent.pid is None else parent.pid)
    _own = None if notes is None else (notes, number)


@contextmanager
def reading(sample: str, path: str) -> Iterator[None]:
    """Note that this process, if it is a worker, reads a file; forget it afterwards."""
    if _own is None:
        yield
        return
    notes, number = _own
    notes.write(number, f"{path} (sample {sample})")
    try:
        yield
    finally:
        notes.write(number, "")


def read_by(pid: int) -> str | None:
    """What a worker of this process was reading when it ended; None if that is not known."""
    found = (text for notes in _kept for process, text in notes.read() if process == pid)
    return next(found, None) or None
