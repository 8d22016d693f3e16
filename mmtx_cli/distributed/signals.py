"""Signal handling: the first signal stops work after the current step, a second one immediately."""

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from mmtx_cli.errors import Interrupted

SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
"""Signals sent by Ctrl-C, a job scheduler, or a closing terminal."""
_LATER = 0.01
"""Seconds after which a dropped KeyboardInterrupt is raised again."""


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
        """Restore the previous handlers, unless they were replaced in the meantime."""
        for number, handler in self.handlers.items():
            if signal.getsignal(number) == self.note:
                signal.signal(number, handler)
        self.handlers = {}

    def note(self, number: int, frame: FrameType | None) -> None:
        """Record the first signal; raise on the second one."""
        if self.number is not None:
            raise self.at_once(number)
        self.number = number


class KeepInterrupt:
    """Context manager that Ctrl-C always ends with KeyboardInterrupt.

    Code in between may replace it: Lightning exits with status 1, a class whose creation it
    interrupts fails with RuntimeError, and readers of files report any error as a damaged file.
    Errors after Ctrl-C are therefore taken to result from it.
    """

    def __init__(self) -> None:
        self.received = False
        self.handler: Any = None
        self.hook: Any = None

    def __enter__(self) -> "KeepInterrupt":
        """Install the handler, unless Ctrl-C is ignored or handled in another way."""
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            outer = getattr(handler, "__self__", None)
            if handler is signal.default_int_handler or isinstance(outer, KeepInterrupt):
                self.handler, self.hook = handler, sys.unraisablehook
                sys.unraisablehook = self.repeat
                signal.signal(signal.SIGINT, self.note)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Restore the handler.

        Raises:
            Interrupted: if the error was raised while one was handled.
            KeyboardInterrupt: if the error is another one, after Ctrl-C.
        """
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)
            sys.unraisablehook = self.hook
        if error is None or isinstance(error, Interrupted | KeyboardInterrupt):
            return
        if (stop := stop_before(error)) is not None:
            raise stop from None
        if self.received:
            raise KeyboardInterrupt from error

    def note(self, number: int, frame: FrameType | None) -> None:
        """Record the signal and raise KeyboardInterrupt."""
        self.received = True
        signal.default_int_handler(number, frame)

    def repeat(self, ignored: Any) -> None:
        """Interrupt again after Python has dropped KeyboardInterrupt.

        It ignores all errors in finalizers and in callbacks of weak references.
        """
        if not (self.received and issubclass(ignored.exc_type, KeyboardInterrupt)):
            self.hook(ignored)
            return
        # only later: in this hook, it would be ignored as well
        timer = threading.Timer(_LATER, interrupt_main_thread)
        timer.daemon = True
        timer.start()


def interrupt_main_thread() -> None:
    """Send SIGINT to the main thread, which also ends its waiting where signals can."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def kill_on_interrupt() -> None:
    """Let Ctrl-C kill this process, which is about to exit: Python would print a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def stop_before(error: BaseException | None) -> Interrupted | None:
    """Return the Interrupted that caused an error, or in whose handling it was raised, or None."""
    seen: set[int] = set()  # OmegaConf raises errors that are their own cause
    while error is not None and id(error) not in seen:
        if isinstance(error, Interrupted):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
