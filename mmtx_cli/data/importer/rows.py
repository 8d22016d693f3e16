"""Rows of an import before they are a manifest: their paths, missing files, and splits."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.data.duplicate_files import together
from mmtx_cli.data.importer.drawn import DRAWN, SPLIT_BY
from mmtx_cli.data.manifest.feature_reference import with_paths
from mmtx_cli.data.manifest.writer import MEDIA
from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import replaced

Placed = tuple[str, dict[str, Any]]
"""Where a row stands in the file it is from, and the row."""

_SHOWN = 10


def with_changed_paths(
    row: Mapping[str, Any], change: Callable[[str], str] = os.path.abspath
) -> dict[str, Any]:
    """The row without empty values, and with every path changed."""
    present: dict[str, Any] = {
        key: value for key, value in row.items() if value not in (None, "", [], {})
    }
    placed: dict[str, Any] = {k: change(v) if k in MEDIA else v for k, v in present.items()}
    if "features" in placed:
        placed["features"] = with_paths(placed["features"], change)
    return placed


def with_files(rows: Sequence[Placed]) -> tuple[list[Placed], list[str]]:
    """The rows whose files are all there, and a line for each of the others.

    Raises:
        DataError: There is none.
    """
    there, gone = [], []
    for place, row in rows:
        missing = [path for path in paths_of(row) if not os.path.exists(path)]
        if missing:
            gone.append(f"{place}: {row.get('id')}: {', '.join(missing)}")
        else:
            there.append((place, row))
    if rows and not there:
        raise DataError(
            f"missing=skip: no row has its files; the first is {gone[0]}; give the folder that "
            "they lie in"
        )
    return there, gone


def list_missing(gone: Sequence[str], total: int, out: Path) -> None:
    """Print the rows that were left out of ``total``, and list them beside ``out``."""
    listed = out.with_name(f"{out.stem}_missing.txt")
    if not gone:
        listed.unlink(missing_ok=True)  # of an earlier import
        return
    with replaced(listed) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in gone), encoding="utf-8")
    print(f"{len(gone)} of {total} rows were left out: files are missing; all in {listed}")
    for line in gone[:_SHOWN]:
        print(f"  {line}")
    if len(gone) > _SHOWN:
        print(f"  … and {len(gone) - _SHOWN} more")


def paths_of(row: Mapping[str, Any]) -> Iterator[str]:
    """All files that a row names."""
    for name in MEDIA:
        value = row.get(name)
        yield from [value] if isinstance(value, str) else value or ()
    for place in (row.get("features") or {}).values():
        yield place if isinstance(place, str) else place["path"]


def keep_together(rows: Sequence[dict[str, Any]]) -> None:
    """Give rows one split whose files have the same content, or that ``split_by`` joins.

    Only rows whose split was drawn are moved: to the split of a row that names one if there is
    any, else to that of the first.
    """
    moved = 0
    keys = [row.pop(SPLIT_BY, None) for row in rows]
    drawn = [row.pop(DRAWN, False) for row in rows]
    for members in together(rows, keys):
        first = next((i for i in members if not drawn[i]), members[0])
        for i in members:
            if drawn[i] and rows[i]["split"] != rows[first]["split"]:
                rows[i]["split"] = rows[first]["split"]
                moved += 1
    if moved:
        print(
            f"{moved} rows went to the split of another row whose file has the same content, or "
            "which split_by joins them with"
        )
