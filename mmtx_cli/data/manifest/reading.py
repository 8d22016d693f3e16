"""How the rows of a manifest are read, by one process or by several."""

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmtx_cli.data.manifest.dataset_card import Card
from mmtx_cli.data.manifest.option_names import Keys
from mmtx_cli.data.manifest.path_resolver import Root
from mmtx_cli.data.manifest.row_parser import Row, RowReader, Values
from mmtx_cli.data.manifest.splits import Ratios, assigner
from mmtx_cli.data.manifest.table_file import Line, is_text_table
from mmtx_cli.io.quoting import argument

ReadRow = tuple[int, Values | None, str, list[str]]
"""Line, values of the sample (None if faulty), id ("" if it has none), and faults of a row."""
Fault = tuple[int, str]
"""Line and fault."""


@dataclass(frozen=True)
class Reading:
    """A manifest and how its rows are read; see ``read_manifest``."""

    path: Path
    card: Card
    folder: str | os.PathLike[str]
    """Folder that paths are relative to."""
    split: Ratios | None
    seed: int
    allow_outside_root: bool
    check_files: bool
    keys: Keys
    ignored: Collection[str]
    may_be_absent: bool

    @property
    def is_text(self) -> bool:
        """True for a table of untyped text, with one header for all rows."""
        return is_text_table(self.path)

    def reader(self) -> tuple[RowReader, Root]:
        """Return a new reader of rows, and the root that it looks for files in."""
        root_of = partial(Root, self.folder, allow_outside=self.allow_outside_root, keys=self.keys)
        checked = root_of(check_files=self.check_files)
        reader = RowReader(
            checked,
            typed=not self.is_text,
            assign=assigner(self.split, self.seed, self.keys),
            card=self.card,
            keys=self.keys,
            ignored=self.ignored,
            unchecked=root_of(check_files=False) if self.may_be_absent else None,
        )
        return reader, checked

    def rows(self, lines: Iterable[Line], reader: RowReader) -> Iterator[ReadRow]:
        """Yield the rows of lines; a row of faults only has neither values nor an id."""
        header_checked = False
        for line, row in lines:
            if isinstance(row, str):
                yield line, None, "", [row]
                continue
            if not header_checked:
                misspelled = reader.misspelled_keys(row)
                if misspelled:
                    yield line, None, "", misspelled
            if self.is_text and not header_checked:
                header_checked = True  # report header faults once instead of once per row
                missing = reader.missing_column(row)
                if missing and not any(f"did you mean {missing!r}?" in f for f in misspelled):
                    yield 1, None, "", [_no_column(missing, self.path, row, reader)]
                if missing == "id":
                    return
                if missing:
                    reader.without_splits()
            values, ident, faults = reader.values(row)
            yield line, values, ident, faults


def _no_column(name: str, table: Path, row: Row, reader: RowReader) -> str:
    problem = f"no column {name!r}; available columns: {', '.join(row)}"
    if name == "split":
        return f"{problem}; {reader.split_remedy}"
    separator = next((c for c in ";|\t" if len(row) == 1 and c in next(iter(row))), None)
    delimiter = f" {argument('delimiter', separator)}" if separator else ""
    return (
        f"{problem}; not a manifest, but the table can be converted: `mmtx data action=import "
        f"importer=csv {argument('captions', table)}{delimiter} images=FOLDER out=NAME.jsonl`"
    )


def repeated_id(ident: str, first: object) -> str:
    """Return the fault of an id that an earlier row has."""
    return f"id {ident!r} is already used {first}; rename one"
