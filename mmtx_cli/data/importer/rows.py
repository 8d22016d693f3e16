"""Processing of imported rows before writing: paths, missing files, and split grouping."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.data.duplicate_files import connected_rows
from mmtx_cli.data.importer.drawn import RANDOM_SPLIT, SPLIT_BY
from mmtx_cli.data.manifest.feature_reference import with_paths
from mmtx_cli.data.manifest.writer import MEDIA
from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.media.shard.reference import is_reference

LocatedRow = tuple[str, dict[str, Any]]
"""The location of a row in its source file, and the row."""

_SHOWN = 10


def with_changed_paths(
    row: Mapping[str, Any], change: Callable[[str], str] = os.path.abspath
) -> dict[str, Any]:
    """Return the row without empty values, with ``change`` applied to every path."""
    present: dict[str, Any] = {
        key: value for key, value in row.items() if value not in (None, "", [], {})
    }
    result: dict[str, Any] = {
        k: ([*map(change, v)] if isinstance(v, list) else change(v)) if k in MEDIA else v
        for k, v in present.items()
    }
    if "features" in result:
        result["features"] = with_paths(result["features"], change)
    return result


def with_files(rows: Sequence[LocatedRow]) -> tuple[list[LocatedRow], list[str]]:
    """Return the rows whose files all exist, and a line for each of the others.

    Raises:
        DataError: if no row is left.
    """
    complete, skipped = [], []
    for place, row in rows:
        missing = [
            path for path in paths_of(row) if not (is_reference(path) or os.path.exists(path))
        ]
        if missing:
            skipped.append(f"{place}: {row.get('id')}: {', '.join(missing)}")
        else:
            complete.append((place, row))
    if rows and not complete:
        raise DataError(
            f"missing=skip: the files of all rows are missing; the first is {skipped[0]}; use the "
            "folder that contains them"
        )
    return complete, skipped


def list_missing(skipped: Sequence[str], total: int, out: Path) -> None:
    """Print the rows left out of ``total``, and list them in a file beside ``out``."""
    listed = out.with_name(f"{out.stem}_missing.txt")
    if not skipped:
        listed.unlink(missing_ok=True)  # left by an earlier import
        return
    with atomic_write(listed) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in skipped), encoding="utf-8")
    print(f"{len(skipped)} of {total} rows were skipped: files are missing; full list in {listed}")
    for line in skipped[:_SHOWN]:
        print(f"  {line}")
    if len(skipped) > _SHOWN:
        print(f"  … and {len(skipped) - _SHOWN} more")


def paths_of(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield all file paths in a row."""
    for name in MEDIA:
        value = row.get(name)
        yield from [value] if isinstance(value, str) else value or ()
    for place in (row.get("features") or {}).values():
        yield place if isinstance(place, str) else place["path"]


def keep_together(rows: Sequence[dict[str, Any]]) -> None:
    """Move rows with identical file content, or with equal ``split_by``, to the same split.

    Only rows with a randomly assigned split are moved: to the split of the first row in the
    group that has a fixed one, else to that of the group's first row.
    """
    moved = 0
    keys = [row.pop(SPLIT_BY, None) for row in rows]
    drawn = [row.pop(RANDOM_SPLIT, False) for row in rows]
    for members in connected_rows(rows, keys):
        first = next((i for i in members if not drawn[i]), members[0])
        for i in members:
            if drawn[i] and rows[i]["split"] != rows[first]["split"]:
                rows[i]["split"] = rows[first]["split"]
                moved += 1
    if moved:
        print(
            f"{moved} rows were moved to the split of another row with the same file content or "
            "the same split_by value"
        )
