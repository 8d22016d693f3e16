"""Mapping of an imported table's columns to manifest keys."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import example_of
from mmtx_cli.data.importer.vectors import Vectors
from mmtx_cli.data.manifest.option_names import RATIOS
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.suggest import closest

# possible targets of a column; media paths are prefixed with the image folder
MEDIA = ("image", "video", "audio")
TARGETS = ("id", *MEDIA, "caption", "text", "label", "number", "split", "group")
_LEARNED = ("caption", "text", "label", "number")
CAPTIONS = "captions"
"""The manifest's key for several captions; a column of this name is read as ``caption``."""


def check_columns(settings: Settings) -> dict[str, Any]:
    """Return the column of each field.

    Raises:
        ConfigError: if ``columns``, ``split_by`` or ``features`` is invalid, or they do not match.
    """
    columns: Any = {} if settings["columns"] is None else settings["columns"]
    split_by, features = settings["split_by"], settings["features"]
    if not isinstance(columns, dict):
        raise ConfigError(f"columns={columns}: must map fields to columns{example_of(settings)}")
    if len({type(name) is int for name in columns.values()}) > 1:
        raise ConfigError(f"columns={columns}: use names, or numbers if there is no header")
    numbered = any(type(name) is int for name in columns.values())
    if type(split_by) is int and not numbered:
        raise ConfigError(
            f"split_by={split_by}: column numbers are for tables without a header, where "
            "all columns "
            "are numbers, as in 'columns={image: 1, caption: 3}'; use the column name"
        )
    if isinstance(split_by, str) and numbered:
        raise ConfigError(f"split_by={split_by}: must be a number, as in columns={columns}")
    if split_by is not None and not isinstance(settings["split"], dict):
        raise ConfigError(f"split_by={split_by}: needs ratios; set e.g. 'split={RATIOS}'")
    if features is not None and (not isinstance(features, dict) or not features):
        raise ConfigError(
            f"features={features}: must map a modality to columns, e.g. "
            "'columns={id: name, label: class}' 'features={audio: mfcc_*}'"
        )
    return columns


def chosen_columns(
    path: Path,
    header: list[str],
    columns: Mapping[str, str | int],
    split_by: str | int | None,
    has_split: bool,
    vectors: Vectors | None,
) -> dict[str, str]:
    """Return the column of each target: the given ones, or those named like a target.

    Args:
        path: The table, for messages.
        header: All column names.
        columns: Column by target; if empty, columns are matched by name.
        split_by: Column that groups rows into splits, if any.
        has_split: Whether rows without a split get one, so that no split column is needed.
        vectors: Numeric columns to store as features.

    Raises:
        DataError: if a column does not exist, or a required target cannot be determined.
    """
    requested = {str(target): str(column) for target, column in columns.items()}
    if CAPTIONS in requested and "caption" not in requested:
        requested["caption"] = requested.pop(CAPTIONS)
    if split_by is not None:
        by = str(split_by)
        requested["split_by"] = requested.get(by, by)
    # a column named split is always used, since every row needs a split
    candidates = TARGETS if not columns else () if has_split else ("split",)
    chosen = {name: name for name in candidates if name in header} | requested
    if not columns and CAPTIONS in header and "caption" not in header:
        chosen["caption"] = CAPTIONS
    faults = vectors.choose(path, header, [*chosen.values()]) if vectors else []
    faults += unknown_columns(path, header, requested)
    if not faults and not {"id", *MEDIA} & chosen.keys() and not vectors:
        faults.append(
            f"{path}:1: no column for images; available: {', '.join(header)}; "
            "set e.g. 'columns={image: file, caption: comment}'"
        )
    elif (
        not faults
        and not columns
        and not {*_LEARNED} & {*chosen}
        and {*header} - {*chosen.values()} - {*(vectors.names if vectors else ())}
    ):
        faults.append(
            f"{path}:1: no column for captions (or labels); available: {', '.join(header)}; "
            f"set e.g. 'columns={{image: {chosen.get('image', 'image')}, caption: COLUMN}}'"
        )
    elif not faults and "split" not in chosen and not has_split:
        faults.append(
            f"{path}:1: no column 'split' (available: {', '.join(header)}), and split= is not set; "
            f"set split=train for all rows, or 'split={RATIOS}', or name the column: "
            "columns.split=COLUMN"
        )
    if faults:
        raise DataError(*faults)
    return chosen


def unknown_columns(path: Path, header: list[str], requested: Mapping[str, str]) -> Iterator[str]:
    """Yield errors for requested targets that do not exist, and for columns the table lacks."""
    for target, column in requested.items():
        if target not in (*TARGETS, "split_by"):
            yield f"columns.{target}: unknown key; must be one of {', '.join(TARGETS)}"
        if column not in header:
            near = closest(column, header, 0.6)
            hint = f"did you mean {near!r}?" if near else f"available columns: {', '.join(header)}"
            if len(header) == 1 and (separator := next((c for c in ";|\t" if c in header[0]), "")):
                hint = f"columns are separated by {separator!r}; set delimiter={separator!r}"
            yield f"{path}:1: no column {column!r}; {hint}"
