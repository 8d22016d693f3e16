"""Rows of an import before they are a manifest: their paths, missing files, and splits."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.atomic import replaced
from mmtx_cli.data.duplicate import together
from mmtx_cli.data.feature_place import with_paths
from mmtx_cli.data.importer.csv_table import SPLIT_BY
from mmtx_cli.data.manifest import split_of
from mmtx_cli.data.write import MEDIA
from mmtx_cli.error import DataError

Placed = tuple[str, dict[str, Any]]
"""Where a row stands in the file it is from, and the row."""

_SHOWN = 10


def with_absolute_paths(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without empty values."""
    present = {key: value for key, value in row.items() if value not in (None, "", [], {})}
    placed = {k: os.path.abspath(v) if k in MEDIA else v for k, v in present.items()}
    if "features" in placed:
        placed["features"] = with_paths(placed["features"], os.path.abspath)
    return placed


def with_files(rows: Sequence[Placed], out: Path) -> list[Placed]:
    """The rows whose files are all there; the others are printed, and listed beside ``out``.

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
    listed = out.with_name(f"{out.stem}_missing.txt")
    if not gone:
        listed.unlink(missing_ok=True)  # of an earlier import
        return there
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced(listed) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in gone), encoding="utf-8")
    print(f"{len(gone)} of {len(rows)} rows were left out: files are missing; all in {listed}")
    for line in gone[:_SHOWN]:
        print(f"  {line}")
    if len(gone) > _SHOWN:
        print(f"  … and {len(gone) - _SHOWN} more")
    return there


def paths_of(row: Mapping[str, Any]) -> Iterator[str]:
    """All files that a row names."""
    for name in MEDIA:
        value = row.get(name)
        yield from [value] if isinstance(value, str) else value or ()
    for place in (row.get("features") or {}).values():
        yield place if isinstance(place, str) else place["path"]


def keep_together(rows: Sequence[dict[str, Any]], ratios: Mapping[str, float], seed: int) -> None:
    """Give rows one split whose files have the same content, or that ``split_by`` joins; rows that
    name a split keep it.
    """
    moved = 0
    keys = [row.pop(SPLIT_BY, None) for row in rows]
    for first, *others in together(rows, keys):
        for i in others:
            row = rows[i]
            drawn = row["split"] == split_of(keys[i] or row["id"], ratios, seed)
            if drawn and row["split"] != rows[first]["split"]:
                row["split"] = rows[first]["split"]
                moved += 1
    if moved:
        print(f"{moved} rows went to the split of another row whose file has the same content")
