"""The id of a row, or the path or order by which it is known, and its files."""

import math
from collections.abc import Mapping
from typing import Any

from mmtx_cli.scoring.files.caption_file import CaptionFile, Media
from mmtx_cli.scoring.files.layout import Layout
from mmtx_cli.scoring.files.texts import id_of, is_nan, references_in, shown

_LONGEST_PATH = 4096


def name_of(
    file: CaptionFile,
    place: str,
    row: Mapping[str, Any],
    layout: Layout,
    number: int,
    form: str,
) -> str | None:
    """Return the id of a row as text; if it has none, record the error and return None.

    The row's files are recorded with it.

    Args:
        file: The file, whose errors, ids and media are recorded.
        place: Location of the row (file:line).
        row: The row.
        layout: The columns of the file.
        number: Number of the row, from 0.
        form: The expected form of a row, for messages.
    """
    if layout.ordered and not layout.ids:
        name = str(number)
    elif layout.ids or not layout.paths:
        value = next((row[key] for key in layout.ids if row.get(key) is not None), None)
        found = id_of(value)
        if found is None:
            file.complete = False
            file.fault(place, f"row has no id; {form}")
            return None
        name, is_number = found
        _note_kind(file, place, name, is_number)
    else:
        media = _media(file, place, row, layout)
        paths = [path for own in media.paths.values() for path in own]
        if len(paths) != 1:
            file.complete = False
            what = "several files" if paths else "no id and no path"
            file.fault(place, f"row has {what}; give each row an id, or one path")
            return None
        name = paths[0] + ("" if media.start is None else f" {media.start:g}–{media.end:g} s")
        file.media.setdefault(name, media)
        return name
    if layout.paths and name not in file.media:
        media = _media(file, place, row, layout)
        if media.paths:
            file.media[name] = media
    return name


def _note_kind(file: CaptionFile, place: str, name: str, is_number: bool) -> None:
    """Record whether an id is a number; that it is text elsewhere in the file is an error."""
    kind, other = (file.numbers, file.texts) if is_number else (file.texts, file.numbers)
    if name in kind:
        return
    kind.add(name)
    if name in other:
        kinds = ("a number", "text") if is_number else ("text", "a number")
        file.fault(
            place,
            f"id {name} is {kinds[0]} here and {kinds[1]} at {file.places[name]}; write each id in "
            "one way",
        )


def _media(file: CaptionFile, place: str, row: Mapping[str, Any], layout: Layout) -> Media:
    """Return the files of a row; record an error for times that are no numbers."""
    found = {
        modality: paths
        for modality, key in layout.paths.items()
        if (paths := tuple(_each_path(row.get(key))))
    }
    for key in layout.times:
        if found and row.get(key) not in (None, "") and _seconds(row[key]) is None:
            file.fault(
                place,
                f"{key} is {shown(row[key])}; it must be a time in seconds, or empty for the whole "
                "file",
            )
    start, end = (_seconds(row.get(key)) for key in layout.times)
    if start is None or end is None:
        start = end = None
    return Media(found, start, end)


def _each_path(value: Any) -> list[str]:
    """Return the paths in a value: a path, or a list of paths or of ms-swift's {"path": …}."""
    if isinstance(value, dict):
        value = value.get("path")
    if isinstance(value, list):
        return [path for own in value if not isinstance(own, list) for path in _each_path(own)]
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_PATH and not is_nan(value):
        if value.startswith("[") and (paths := references_in(value, is_cell=True)):
            return paths
        return [value]
    return []


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or value in (None, ""):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
