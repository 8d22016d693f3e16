"""The captions of one file by id, path or order, with every error found in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mmtx_cli.errors import MAX_SHOWN, listed

Key = Literal["id", "path", "order"]
Segment = tuple[float | None, float | None]
Columns = Mapping[str, str | int]
"""Column, or number of the column from 1, by field: ``id``, ``caption``, ``image``, …"""


@dataclass(frozen=True, slots=True)
class Media:
    """The files of a row.

    Args:
        paths: Paths by modality (``image``, ``video``, ``audio``), as written.
        start: Start of the segment in seconds; None for the whole file.
        end: End of the segment in seconds; None for the whole file.
    """

    paths: Mapping[str, tuple[str, ...]]
    start: float | None = None
    end: float | None = None


@dataclass
class CaptionFile:
    """The captions of each id in a file, in file order, and every error found in it.

    Args:
        path: The file; of several files of references, the first one.
        form: The recognized format, in words.
        key: Whether rows are known by an id, the path of a file, or only by their order.
        captions: Captions by id; ids are numbers from 0 if rows are known by their order.
        places: Location (file:line) of the first row with an id.
        faults: All errors.
        complete: False if some row has no readable id, so that ids may be missing.
        own: References in the predictions' own file, by id.
        media: Files of the rows by id.
        root: Folder to which the paths of ``media`` are relative, if it is known.
        numbers: Ids that are numbers in the file.
        texts: Ids that are text in the file.
        notes: What was found that the user should know.
        of_parts: Notes of the files of which this one consists.
        counts: Further counts for ``notes``: ids by what was found.
        columns: Column by field, where the form has columns.
    """

    path: Path
    form: str = ""
    key: Key = "id"
    captions: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    complete: bool = True
    own: dict[str, list[str]] = field(default_factory=dict)
    media: dict[str, Media] = field(default_factory=dict)
    root: Path | None = None
    numbers: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    of_parts: list[str] = field(default_factory=list)
    counts: dict[str, list[str]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)

    def fault(self, place: str, what: str) -> None:
        """Record an error."""
        self.faults.append(f"{place}: {what}")

    def messages(self) -> list[str]:
        """Return the first errors, then the number of further ones."""
        more = len(self.faults) - MAX_SHOWN
        return self.faults[:MAX_SHOWN] + ([f"… and {more} more in {self.path}"] if more > 0 else [])

    def all_notes(self) -> list[str]:
        """Return all notes, each with the file."""
        counted = [
            f"{len(ids)} of {len(self.captions)} {what}: ids {listed(ids)}"
            for what, ids in self.counts.items()
        ]
        return self.of_parts + [f"{self.path}: {note}" for note in self.notes + counted]

    def description(self) -> dict[str, object]:
        """Return what was read, for ``result.json``."""
        found: dict[str, object] = {
            "path": str(self.path),
            "format": self.form,
            "samples": len(self.captions),
            "joined_by": self.key,
        }
        return found | ({"columns": self.columns} if self.columns else {})
