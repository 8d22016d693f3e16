"""Standard output and error: what is printed arrives as plain text, or its loss is reported.

Names of files, labels, captions and values of a configuration are other people's texts. What a
terminal would take for a command is shown as an escape, in every message, table and progress line,
since all of them pass through here. Letters that the output cannot write are escaped, too: in JSON,
these escapes stand for the same letters.
"""

import codecs
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from mmtx_cli.errors import OutputError
from mmtx_cli.io.redact import redacted_message

CLOSED = 128 + 13
"""The exit status where the reader of the output has gone, as if SIGPIPE had ended the process."""
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed; those that end a line or turn its direction, too."""
_HANDLER = "mmtx.escaped"


def plain_text(text: str) -> str:
    r"""Return a text whose control characters are escapes: ``\x1b``, and from DEL on ``\u007f``.

    JSON holds none of the former inside of its texts, and reads the latter as what they were.
    """
    return _CONTROL.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return f"\\x{code:02x}"
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding does not know as JSON would."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape, error.object[error.start : error.end])), error.end


codecs.register_error(_HANDLER, _escaped)


class Output:
    """A text stream through which all of the standard output, or error, passes.

    It is no terminal to libraries, so that they write no colours; ``terminal()`` is one for what
    draws bars and tables itself.
    """

    def __init__(self, stream: Any, is_error: bool, drawn: bool = False) -> None:
        self.stream, self.is_error, self.drawn = stream, is_error, drawn

    def write(self, text: str) -> int:
        """Write a text without control characters, and to standard error without secrets."""
        shown = redacted_message(text) if self.is_error else text
        if not self.drawn:
            # a library's bar begins anew by a carriage return
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
        """Hand on what was written."""
        try:
            self.stream.flush()
        except OSError as error:
            self._fail(error)

    def isatty(self) -> bool:
        """Is this a terminal that may be drawn on?"""
        return self.drawn and bool(self.stream.isatty())

    def terminal(self) -> "Output":
        """Give the same output to what draws on it, and escapes what is not its own."""
        return Output(self.stream, self.is_error, drawn=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _fail(self, error: OSError) -> None:
        """Raise for standard output; a loss of standard error has no place to be reported."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)
        if self.is_error:
            return
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def terminal(stream: Any) -> Any:
    """Give the terminal behind a standard stream, if it passes through here."""
    return stream.terminal() if isinstance(stream, Output) else stream


@contextmanager
def standard_output() -> Iterator[None]:
    """Let standard output and error pass through here."""
    _open_closed()
    before = sys.stdout, sys.stderr
    errors = [getattr(stream, "errors", None) for stream in before]
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)
    sys.stdout, sys.stderr = Output(before[0], False), Output(before[1], True)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream, old in zip(before, errors, strict=True):
            if hasattr(stream, "reconfigure") and not stream.closed:
                stream.reconfigure(errors=old)


def print_traceback(kind: Any, error: BaseException, trace: Any) -> None:
    """Print what ends the process, for ``sys.excepthook``: its message holds texts of others."""
    with standard_output():
        sys.__excepthook__(kind, error, trace)


def _open_closed() -> None:
    """Open the null device where a standard stream is closed.

    Else the next file that is opened, a checkpoint for example, would have its number, and what
    libraries and other processes print would be written into it.
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
