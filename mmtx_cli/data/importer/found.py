"""What every importer returns: rows, the folders of their files, and files that it writes."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.staging import Staging

Rows = Iterator[tuple[str, dict[str, Any]]]
"""Each row with its location in the source."""


class Found(NamedTuple):
    """The output of an importer: rows with their source locations, and the media folders.

    ``staging`` receives the files that the importer writes while its rows are read.
    """

    rows: Rows
    folders: Iterable[str]
    staging: Staging


def staging_of(settings: Settings) -> Staging:
    """Return the staging folder for files written by the importer: OUT_features beside ``out``."""
    out = Path(settings["out"])
    return Staging(out.with_name(f"{out.stem}_features"))


def with_notes(rows: Rows, notes: Callable[[], Iterable[str]]) -> Rows:
    """Yield the rows, then print the notes collected while reading them."""
    yield from rows
    for note in notes():
        print(note)
