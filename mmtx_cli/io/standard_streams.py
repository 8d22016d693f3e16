"""Standard output and error with control characters escaped and write errors reported.

File names, labels, captions and configuration values are untrusted text. Control sequences in them
are escaped in every message, table and progress line, since all output passes through here.
Characters that the output encoding lacks are escaped, too, in a form that is valid in JSON.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmtx_cli.errors import OutputError

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would take 5 % of the time of ``mmtx --help``
    from typing import Any, TextIO

CLOSED = 128 + 13
"""Exit status if the reader of the output has gone, as if SIGPIPE had ended the process."""
_CONTROL = "[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
"""Control characters except tab and line feed; also line separators and bidirectional controls."""
_HANDLER = "mmtx.escaped"


def plain_text(text: str) -> str:
    r"""Return a text with control characters escaped: as ``\x1b``, or from DEL on as ``\u007f``.

    JSON strings cannot contain the former, and a JSON parser restores the latter.
    """
    return re.sub(_CONTROL, lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return f"\\x{code:02x}"
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: escape characters that an encoding lacks as in JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape, error.object[error.start : error.end])), error.end


codecs.register_error(_HANDLER, _escaped)


class Output:
    """A text stream through which all of standard output, or error, passes.

    It is not a terminal, so that libraries write no colors; ``terminal()`` returns a terminal for
    code that draws progress bars and tables.
    """

    def __init__(self, stream: Any, is_error: bool, drawn: bool = False) -> None:
        self.stream, self.is_error, self.drawn = stream, is_error, drawn

    @staticmethod
    def redacted(text: str) -> str:
        """Return a text without secrets."""
        # its patterns take longer to compile than ``mmtx --help`` takes otherwise
        from mmtx_cli.io.redact import redacted_message

        return redacted_message(text)

    def write(self, text: str) -> int:
        """Write a text with control characters escaped and, on standard error, secrets redacted."""
        shown = self.redacted(text) if self.is_error else text
        if not self.drawn:
            # a library's progress bar restarts its line with a carriage return
            shown = plain_text("\n" + shown[1:] if shown.startswith("\r") else shown)
        try:
            self.stream.write(shown)
        except OSError as error:
            self._fail(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the underlying stream."""
        try:
            self.stream.flush()
        except OSError as error:
            self._fail(error)

    def isatty(self) -> bool:
        """Return True if this is a terminal for drawing."""
        return self.drawn and bool(self.stream.isatty())

    def terminal(self) -> "Output":
        """Return the same output for code that draws on it and escapes its content itself."""
        return Output(self.stream, self.is_error, drawn=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _fail(self, error: OSError) -> None:
        """Raise for standard output; errors of standard error cannot be reported anywhere."""
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.stream.fileno())
        os.close(devnull)
        if self.is_error:
            return
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error


def terminal(stream: Any) -> Any:
    """Return the terminal of a standard stream if it is an Output, else the stream."""
    return stream.terminal() if isinstance(stream, Output) else stream


@contextmanager
def standard_output() -> Iterator[None]:
    """Replace standard output and error by Output streams in a with block."""
    _open_closed()
    originals = sys.stdout, sys.stderr
    errors = [getattr(stream, "errors", None) for stream in originals]
    for stream in originals:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)
    sys.stdout, sys.stderr = Output(originals[0], False), Output(originals[1], True)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = originals
        for stream, errors_mode in zip(originals, errors, strict=True):
            if hasattr(stream, "reconfigure") and not stream.closed:
                stream.reconfigure(errors=errors_mode)


def print_traceback(kind: Any, error: BaseException, trace: Any) -> None:
    """Print a traceback through Output, for ``sys.excepthook``: messages contain untrusted text."""
    with standard_output():
        sys.__excepthook__(kind, error, trace)


def _open_closed() -> None:
    """Open the null device where a standard stream is closed.

    Otherwise the next file opened, such as a checkpoint, would get its descriptor, and output of
    libraries and other processes would be written into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = _null_output(1)
    if sys.stderr is None:
        sys.stderr = _null_output(2)


def _null_output(number: int) -> TextIO:
    return open(number, "w", encoding="utf-8", closefd=False)
