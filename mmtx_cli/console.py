"""The terminal for tables, bars and styled text."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from mmtx_cli.output import plain_text, terminal


class PlainConsole(Console):
    """A console that draws by control characters of its own, and escapes those in what it shows."""

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Give the pieces of text that something is shown by."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(plain_text(piece.text), piece.style)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line: rich would end the process by a status of its own."""
        raise


def make_console(stderr: bool = False, **options: Any) -> Console:
    """Give a console on standard output or error."""
    return PlainConsole(file=terminal(sys.stderr if stderr else sys.stdout), **options)
