"""Signal handling: the first signal stops work after the current step, a second one immediately."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from mmtx_cli.errors import Interrupted

SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    if hasattr(signal, name)
]
"""Signals sent by Ctrl-C, a job scheduler, or a closing terminal."""


class StopSignal:
    """Context manager that handles ``SIGNALS`` and records the first one."""

    def __init__(self, at_once: Callable[[int], Interrupted]) -> None:
        """``at_once`` returns the exception to raise on a second signal, given its number."""
        self.at_once = at_once
        self.number: int | None = None
        self.handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        """Install the handlers."""
        for number in SIGNALS:
            self.handlers[number] = signal.signal(number, self.note)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handlers."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def note(self, number: int, frame: FrameType | None) -> None:
        """Record the first signal; raise on the second one."""
        if self.number is not None:
            raise self.at_once(number)
        self.number = number
