"""Ctrl-C while a program starts: it ends without Python's traceback.

An exception would not do: code that is imported may drop KeyboardInterrupt or replace it.
"""

import _signal  # the module signal would delay the help
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_MESSAGE = b"mmtx: interrupted\n"


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process with exit status 130, unless it is ignored or handled."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _end)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, where ``end_on_interrupt`` changed it."""
    if _signal.getsignal(_signal.SIGINT) is _end:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _end(number: int, frame: "FrameType | None") -> None:
    try:
        os.write(2, _MESSAGE)
    finally:
        os._exit(128 + number)
