"""Rich consoles for tables, progress bars and styled text."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from mmtx_cli.io.standard_streams import plain_text, terminal

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Column, Table

Item = TypeVar("Item")
FILE_WIDTH = 120
"""Width of tables written to a file or pipe."""


class PlainConsole(Console):
    """A console that escapes control characters in its content, but not its own."""

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable with control characters escaped."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(plain_text(piece.text), piece.style)

    def on_broken_pipe(self) -> None:
        """Re-raise: rich would exit with its own status; the command line handles the error."""
        raise


def make_console(stderr: bool = False, **options: Any) -> Console:
    """Return a console on standard output or error."""
    return PlainConsole(file=terminal(sys.stderr if stderr else sys.stdout), **options)


def print_table(table: "Table") -> None:
    """Print a table on standard output, in several parts if it is too wide."""
    console = make_console()
    on_terminal = console.is_terminal
    if not on_terminal:
        console.width = FILE_WIDTH
    for part in [*parts(table, console)]:
        if not on_terminal:  # do not wrap even wider cells
            console.width = max(FILE_WIDTH, table_width(part.columns, console))
        console.print(part)


def parts(table: "Table", console: Console) -> Iterator["Table"]:
    """Split a table into tables that fit the console; each repeats the first column."""
    from rich.table import Table

    first, *others = table.columns
    groups: list[list[Column]] = [[]]
    for column in others:
        if groups[-1] and table_width([first, *groups[-1], column], console) > console.width:
            groups.append([])
        groups[-1].append(column)
    for number, group in enumerate(groups):
        part_columns = (first, *group)
        part = Table(
            *(column.copy() for column in part_columns), title=None if number else table.title
        )
        for cells in zip(*(column.cells for column in part_columns), strict=True):
            part.add_row(*cells)
        yield part


def table_width(columns: "Sequence[Column]", console: Console) -> int:
    """Return the width of a table of these columns, including padding and borders."""
    unlimited = console.options.update(width=10_000)
    widths = (
        max(
            console.measure(cell, options=unlimited).maximum
            for cell in (column.header, *column.cells)
        )
        for column in columns
    )
    return 1 + sum(3 + width for width in widths)


def make_bar(*columns: Any, shown: bool = True, **options: Any) -> "Progress":
    """Return a progress bar on standard error, disabled unless that is a terminal.

    Standard output is not redirected: rich would print it to standard error, and wrap its lines.
    """
    from rich.progress import Progress

    console = make_console(stderr=True)
    disable = not (shown and console.is_interactive)
    return Progress(*columns, console=console, redirect_stdout=False, disable=disable, **options)


def track(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items with a progress bar."""
    with make_bar(transient=True) as bar:
        yield from bar.track(items, total, description=label)


@contextmanager
def paused(bar: "Progress") -> Iterator[None]:
    """Hide a progress bar while lines are printed."""
    bar.stop()
    try:
        yield
    finally:
        bar.start()


def files_bar(shown: bool = True) -> "Progress":
    """Return a bar with the number of files, files per second and the time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Speed(TextColumn):
        """Files per second."""

        def render(self, task: Any) -> Any:
            """Return the speed."""
            from rich.text import Text

            return Text("" if task.speed is None else f"{task.speed:.3g} files/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(""),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return make_bar(*columns, shown=shown, transient=True)
