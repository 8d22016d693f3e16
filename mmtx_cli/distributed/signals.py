"""Signals that end work between two of its steps; a second one ends it at once."""

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
"""Ctrl-C, a scheduler, a terminal that closes."""


class StopSignal:
    """Remembers the first of ``SIGNALS`` while it has taken them over."""

    def __init__(self, at_once: Callable[[int], Interrupted]) -> None:
        """``at_once`` makes of a second signal what is raised wherever the work stands."""
        self.at_once = at_once
        self.number: int | None = None
        self.handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        """Take the signals over."""
        for number in SIGNALS:
            self.handlers[number] = signal.signal(number, self.note)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal until the step is done."""
        if self.number is not None:
            raise self.at_once(number)
        self.number = number
