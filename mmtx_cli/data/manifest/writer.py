"""Writing of manifests as JSON Lines with a dataset card."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from mmtx_cli.data.manifest.dataset_card import card_path, card_values
from mmtx_cli.data.manifest.feature_reference import with_paths
from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.jsonl import json_line

MEDIA = ("image", "video", "audio")


def base_folder(path: str | Path, root: str | Path | None) -> Path:
    """Return the folder that paths are written relative to if the files lie in ``root``.

    That is the manifest's folder if it contains the root, else the root.
    """
    home = Path(os.path.abspath(Path(path).parent))
    base = home if root is None else Path(os.path.abspath(root))
    return home if base.is_relative_to(home) else base


def write_manifest(
    path: str | Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    root: str | Path | None = None,
    card: Mapping[str, Any] | None = None,
) -> int:
    """Write rows as a manifest atomically, with its card, and return the number of rows.

    Media paths are written relative to the manifest if ``root`` lies in its folder, else relative
    to ``root``, which is then recorded in the card. The card also gets the row counts by split;
    other entries of an existing card are kept.

    Args:
        path: The manifest to write.
        rows: Rows whose media paths are absolute or relative to ``root``.
        root: Folder that holds all files (default: the manifest's folder).
        card: Further entries of the card.

    Raises:
        DataError: naming the row, if a path lies outside the root, or a number is not finite.
    """
    path = Path(path)
    home, start = base_folder(path, None), base_folder(path, root)
    base = home if root is None else Path(os.path.abspath(root))
    path.parent.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    with atomic_write(path) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(_line(_placed(row, base, start)) + "\n")
                counts[str(row.get("split"))] += 1
        entries = {**(card or {}), "counts": dict(counts)}
        _write_card(card_path(path), entries, None if start == home else str(base))
    return counts.total()


def _line(row: Mapping[str, Any]) -> str:
    try:
        return json_line(row)
    except ValueError as error:
        raise DataError(f"row {row.get('id')}: contains NaN or an infinite number") from error


def _placed(row: Mapping[str, Any], base: Path, start: Path) -> dict[str, Any]:
    """Return the row with media paths relative to ``start``, and without empty values."""
    placed = {key: value for key, value in row.items() if value not in (None, "", [], {})}
    for key in MEDIA:
        value = placed.get(key)
        if isinstance(value, str):
            placed[key] = _relative(value, base, start, row)
        elif value is not None:
            placed[key] = [_relative(item, base, start, row) for item in value]
    if "features" in placed:
        relative = partial(_relative, base=base, start=start, row=row)
        placed["features"] = with_paths(placed["features"], relative)
    return placed


def _relative(value: str, base: Path, start: Path, row: Mapping[str, Any]) -> str:
    # fast path for plain relative paths, the usual case
    if base == start and not value.startswith("/") and ".." not in value:
        return value
    full = Path(os.path.normpath(base / value))
    if not full.is_relative_to(start):
        raise DataError(
            f"row {row.get('id')}: {full} is outside {start}; use a root that contains all files"
        )
    return full.relative_to(start).as_posix()


def _write_card(path: Path, entries: dict[str, Any], root: str | None) -> None:
    old: dict[str, Any] = {}
    if path.is_file():
        old = card_values(path)
        old.pop("root", None)
    new = {**old, **entries, **({} if root is None else {"root": root})}
    text = yaml.safe_dump(new, sort_keys=False, allow_unicode=True, width=100)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
