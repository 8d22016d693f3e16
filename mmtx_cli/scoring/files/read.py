"""Readers of predicted captions and references in the files of any tool."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from mmtx_cli.scoring.files.caption_file import CaptionFile, Columns
from mmtx_cli.scoring.files.content import TEXT, peeked, rows_of
from mmtx_cli.scoring.files.forms import NUMBERED, REFERENCE
from mmtx_cli.scoring.files.layout import Layout, prediction_layout, reference_layout
from mmtx_cli.scoring.files.row_names import name_of
from mmtx_cli.scoring.files.several import together
from mmtx_cli.scoring.files.texts import is_failure, is_nan, predicted, references_in, shown

_REFERENCE = 'expected {"id": …, "captions": ["…", …]}, or COCO {"image_id", "caption"}'
_PREDICTION = 'expected {"id": …, "caption": "…"}, or COCO {"image_id", "caption"}'
_EMPTY = "predictions are empty and score 0"
_UNREAD = "inputs could not be read by mmtx caption; their captions are empty and score 0"
_FAILED = "predictions are the message of a failed request (“Failed to obtain answer …”)"


def read_references(
    paths: str | Path | Sequence[str | Path],
    split: str | None = None,
    columns: Columns | None = None,
) -> CaptionFile:
    """Read references, also from several files, of which each adds references.

    Args:
        paths: One file or several.
        split: Split of a manifest whose rows are selected.
        columns: Columns named by the user.

    Returns:
        The references by id, with the errors found.

    Raises:
        DataError: if a file cannot be read at all.
    """
    each = [paths] if isinstance(paths, str | Path) else list(paths)
    files = [_references(Path(path), split, columns or {}, len(each) > 1) for path in each]
    return files[0] if len(files) == 1 else together(files)


def read_predictions(
    path: str | Path, columns: Columns | None = None, own: Columns | None = None
) -> CaptionFile:
    """Read predictions of any tool.

    Args:
        path: The file.
        columns: Columns named by the user.
        own: Columns of references in the same file, named by the user.

    Returns:
        The captions by id, path or order, with the errors found.

    Raises:
        DataError: if the file cannot be read at all.
    """
    file = CaptionFile(Path(path))
    first, rest = peeked(rows_of(file, columns or {}))
    layout = prediction_layout(file, [row for _, row in first], columns or {}, own or {})
    if layout is None:
        return file
    _set_key(file, layout)
    for number, (place, row) in enumerate(chain(first, rest)):
        name = name_of(file, place, row, layout, number, _PREDICTION)
        if name is None:
            continue
        if name in file.places:
            file.fault(
                place, f"duplicate prediction of id {name}, first at {file.places[name]}; keep one"
            )
            continue
        file.places[name] = place
        file.captions[name] = [_prediction(file, place, name, row, layout)]
        if layout.own:
            _add_own(file, place, name, row, layout)
    return file


def _set_key(file: CaptionFile, layout: Layout) -> None:
    if not layout.ids:
        file.key = "order" if layout.ordered else "path" if layout.paths else "id"


def _prediction(
    file: CaptionFile, place: str, name: str, row: Mapping[str, Any], layout: Layout
) -> str:
    """Return the caption of a row; record an error, and return "", if it has none."""
    value = next((row[key] for key in layout.captions if row.get(key) is not None), None)
    if layout.heads and not isinstance(value, str):
        # a row of mmtx eval holds the output of each head: {"id", HEAD: {"caption", …}}
        heads = [part for part in row.values() if isinstance(part, dict) and "caption" in part]
        value = heads[0]["caption"] if len(heads) == 1 else None
    if value is None and "error" in row and layout.paths:
        file.counts.setdefault(_UNREAD, []).append(name)
        return ""
    if is_nan(value):
        file.fault(place, f"id {name}: the caption is NaN; leave the cell empty to score it 0")
        return ""
    caption = predicted(value, layout.packed)
    if isinstance(caption, list):
        file.fault(place, f"id {name} has {len(caption)} predictions; keep one")
        return ""
    if caption is None:
        file.fault(place, f"id {name} has no caption string; {_PREDICTION}")
        return ""
    if not caption.strip():
        file.counts.setdefault(_EMPTY, []).append(name)
    elif is_failure(caption):
        file.counts.setdefault(_FAILED, []).append(name)
    return caption


def _add_own(
    file: CaptionFile, place: str, name: str, row: Mapping[str, Any], layout: Layout
) -> None:
    """Record the references in a row of predictions; one without any is found later."""
    value = next((row[key] for key in layout.own if row.get(key) is not None), None)
    found = None if value is None or is_nan(value) else references_in(value, is_cell=True)
    file.own[name] = [text for text in found or [] if text.strip()]


def _references(path: Path, split: str | None, columns: Columns, several: bool) -> CaptionFile:
    """Read one file of references; in one of several, a line may be empty."""
    file = CaptionFile(path)
    first, rest = peeked(rows_of(file, columns))
    layout = reference_layout(file, [row for _, row in first], columns)
    if layout is None:
        return file
    _set_key(file, layout)
    splits: set[str] = set()
    seen = {key for _, row in first for key in row}
    for number, (place, row) in enumerate(chain(first, rest)):
        if split is not None:
            splits.add(own := str(row.get("split")))
            if own != split:
                continue
        if not row.keys() <= seen and "caption" not in columns:
            layout = _with_new_keys(file, place, row, seen, layout)
        name = name_of(file, place, row, layout, number, _REFERENCE)
        if name is None:
            continue
        if row.get("captions") is not None and name in file.places:
            file.fault(place, f"duplicate id {name}, first at {file.places[name]}")
        file.places.setdefault(name, place)
        _add_references(file, place, name, row, layout, several)
    for name, captions in file.captions.items():
        if not captions and not several:
            file.fault(file.places[name], f"id {name} has no reference caption; {_REFERENCE}")
    if split is not None and split not in splits:
        known = ", ".join(sorted(splits - {"None"})) or "none"
        file.faults = [f"{path}: no row has split={split}; splits in the file: {known}"]
        file.complete = False
    return file


def _with_new_keys(
    file: CaptionFile, place: str, row: Mapping[str, Any], seen: set[str], layout: Layout
) -> Layout:
    """Return the layout with further references that no earlier row of JSON Lines has.

    They are numbered like the others (``caption_3``); any other one is an error.
    """
    # beside captions, other columns that may be references do not count
    names = {"captions"} if "caption" in layout.captions else {*REFERENCE}
    if "captions" in layout.captions:
        names = set()
    new = [key for key in row if key not in seen and key.lower() in names]
    numbered = [key for key in row if key not in seen and NUMBERED.fullmatch(key)]
    seen.update(row)
    stems = {_stem(name) for name in layout.captions}
    further = [name for name in numbered if {_stem(name)} == stems]
    for key in [*new, *(name for name in numbered if name not in further)]:
        file.fault(
            place,
            f"{key} may be a reference, but is in none of the first rows, whose references are "
            f"{', '.join(layout.captions)}; give all rows the same keys, or name the one that "
            f"counts: 'reference_columns={{caption: {layout.captions[0]}}}'",
        )
    return replace(layout, captions=(*layout.captions, *further))


def _stem(name: str) -> str:
    return match[1].lower() if (match := NUMBERED.fullmatch(name)) else name.lower()


def _add_references(
    file: CaptionFile,
    place: str,
    name: str,
    row: Mapping[str, Any],
    layout: Layout,
    several: bool,
) -> None:
    stored = file.captions.setdefault(name, [])
    for key in layout.captions:
        value = row.get(key)
        if value is None or (layout.cells and value == ""):
            continue
        if is_nan(value):
            file.fault(place, f"id {name}: {key} is NaN; fill it in or remove the row")
            stored.append(
                ""
            )  # a placeholder, so that the missing reference is not reported as well
            continue
        found = None
        if key != "captions" or isinstance(value, list) or layout.cells:
            found = references_in(value, layout.cells)
        if found is None:
            file.fault(
                place,
                f"id {name}: {key} must be a list of strings, not {shown(value)}; {_REFERENCE}",
            )
            stored.append("")
        elif not all(caption.strip() for caption in found):
            if several and file.form == TEXT:
                file.counts.setdefault("lines are empty: no reference of this file", []).append(
                    name
                )
                continue
            file.fault(place, f"id {name} has an empty reference caption; fill it in or remove it")
            stored.append("")
        else:
            stored += found
        if key == "captions" and found:
            break
