"""Import of CSV, TSV and JSON Lines tables, with one caption per line, to manifest rows."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.columns import CAPTIONS, MEDIA, check_columns, chosen_columns
from mmtx_cli.data.importer.drawn import RANDOM_SPLIT, SPLIT_BY
from mmtx_cli.data.importer.found import Found, staging_of, with_notes
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import image_folder, split_of_rows
from mmtx_cli.data.importer.vectors import Vectors
from mmtx_cli.data.manifest.row_parser import CAPTION_MARK, parse_split
from mmtx_cli.data.manifest.table_file import Line, check_exists, csv_rows, read_lines
from mmtx_cli.errors import ConfigError, DataError, truncate

_JSON = (".jsonl", ".ndjson")
_SUFFIXES = (".csv", ".tsv", ".txt", *_JSON)
Placed = tuple[str, dict[str, Any]]
"""``file:line`` of the first line of a sample, and the sample's row."""


def read(settings: Settings) -> Found:
    """Return the rows of a table; columns of features go to the staging folder."""
    wanted, staging = settings["features"], staging_of(settings)
    columns = check_columns(settings)
    needs_folder = wanted is None or settings["images"] is not None
    folder = image_folder(settings) if needs_folder else None
    notes: list[str] = []
    found = rows(
        settings["captions"],
        folder,
        Form(columns, settings["delimiter"], settings["quoting"], settings["split_by"]),
        split=split_of_rows(settings),
        vectors=Vectors(wanted, staging.folder) if wanted else None,
        notes=notes,
    )
    media = [folder] if folder else []
    beside = [str(staging.final.parent)] if wanted else []
    return Found(with_notes(found, lambda: notes), media + beside, staging)


@dataclass(frozen=True)
class Form:
    """The format of a table.

    ``columns`` maps each target to a column, e.g. ``{"image": "file", "caption": "comment"}``;
    if empty, columns are matched by their own names. Integer columns are 1-based positions and
    imply that the table has no header. With ``quoting=False`` quotes are ordinary characters,
    and the last column takes the rest of the line. ``split_by`` is a column that is hashed
    instead of the id when splits are assigned by ratios.
    """

    columns: Mapping[str, str | int] = field(default_factory=dict)
    delimiter: str = ","
    quoting: bool = True
    split_by: str | int | None = None

    @property
    def numbered(self) -> int | None:
        """The largest column number, or None if columns are given by name."""
        numbers = [name for name in (*self.columns.values(), self.split_by) if type(name) is int]
        return max(numbers, default=None)

    def lines(self, path: Path) -> Iterator[Line]:
        """Yield the cells of each line by column; JSON Lines values keep their types."""
        if path.suffix.lower() in _JSON:
            return read_lines(path)
        return csv_rows(path, _checked_delimiter(path, self.delimiter), self.quoting, self.numbered)


def rows(
    path: str | Path,
    images: str | Path | None,
    form: Form | None = None,
    *,
    split: str | Callable[[str], str] | None = None,
    vectors: Vectors | None = None,
    notes: list[str] | None = None,
) -> Iterator[Placed]:
    """Yield one row per sample, merging lines with the same id (or the same image if without id).

    Args:
        path: The table.
        images: Folder that media paths are relative to.
        form: The table's format.
        split: Split of lines without one, or a function that returns it for an id (or for the
            value of ``split_by``).
        vectors: Numeric columns to store as features.
        notes: List to which a note on unused columns is appended.

    Raises:
        DataError: with file:line, if a column is missing or lines of a sample disagree.
        ConfigError: if the delimiter is not one character.
    """
    path, form = Path(path), form or Form()
    check_exists(path, "table", _SUFFIXES, "set captions= to the table")
    samples: dict[str, Placed] = {}
    lines = list(form.lines(path))
    # JSON Lines rows may have different keys
    header = list(dict.fromkeys(k for _, cells in lines if isinstance(cells, dict) for k in cells))
    chosen: dict[str, str] = {}
    if header:
        has_split = split is not None
        chosen = chosen_columns(path, header, form.columns, form.split_by, has_split, vectors)
        taken = {*chosen.values(), *(vectors.names if vectors else ())}
        if notes is not None and (unused := [name for name in header if name not in taken]):
            notes.append(f"{path}: unused columns: {', '.join(unused)}")
    faults: list[str] = []
    for line, cells in lines:
        place = f"{path}:{line}"
        if isinstance(cells, str):
            faults.append(f"{place}: {cells}")
            continue
        values = {ours: _plain(cells.get(theirs)) for ours, theirs in chosen.items()}
        if chosen.get("caption") == CAPTIONS:
            values["caption"] = _caption_list(values["caption"])
        if not {"id", *MEDIA} & chosen.keys():  # only numeric columns: use the line number
            values["id"] = str(line)
        found, ident = _add(samples, place, values, images)
        found = found or (vectors.add(ident, cells) if vectors else [])
        faults += [f"{place}: {fault}" for fault in found]
    if not samples and not faults:
        faults = [f"{path}: no rows below the header; use a table of images and captions"]
    if not faults:
        faults += _assign_splits(samples, "split_by" in chosen, split)
    if faults:
        raise DataError(*truncate(faults))
    if vectors:
        vectors.place({ident: row for ident, (_, row) in samples.items()})
    yield from samples.values()


def _plain(value: Any) -> Any:
    """Return a cell as stripped text; lists and numbers of JSON Lines are kept."""
    return value.strip() if isinstance(value, str) else "" if value is None else value


def _checked_delimiter(path: Path, delimiter: str) -> str:
    # as for manifests, the suffix .tsv implies tabs
    if delimiter == "\\t" or (delimiter == "," and path.suffix.lower() == ".tsv"):
        return "\t"
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(f"delimiter={delimiter}: must be one character, e.g. 'delimiter=\";\"'")
    return delimiter


def _caption_list(cell: Any) -> Any:
    """Return the captions of a cell: a JSON list, or a text separated by " | "."""
    if not isinstance(cell, str) or not cell:
        return cell
    if cell.startswith("["):
        try:
            return json.loads(cell)
        except ValueError:  # a caption that starts with a bracket
            return cell
    return cell.split(CAPTION_MARK)


def _add(
    samples: dict[str, Placed],
    place: str,
    values: dict[str, Any],
    images: str | Path | None,
) -> tuple[list[str], str]:
    """Merge a line into its sample; return its faults and the sample's id.

    Cells that are empty in one line may be filled in any other line of the same sample.
    """
    media = {key: values[key] for key in MEDIA if _is_filled(values.get(key))}
    if invalid := [key for key, value in media.items() if not isinstance(value, str)]:
        return [f"{invalid[0]} is {media[invalid[0]]!r}; expected one path"], ""
    given = values.get("id")
    if isinstance(given, (bool, list, dict)) and _is_filled(given):
        return [f"id is {given!r}; expected text or an integer"], ""
    ident = str(given if _is_filled(given) else next(iter(media.values()), ""))
    if not ident:
        return ["id and image are empty; fill in one or remove the line"], ""
    faults: list[str] = []
    row: dict[str, Any] = {"id": ident}
    if _is_filled(values.get("split")):
        row["split"] = parse_split(values["split"], faults)
    row |= {key: str(Path(images or "") / value) for key, value in media.items()}
    row |= {key: values[key] for key in ("text", "label", "group") if _is_filled(values.get(key))}
    if _is_filled(values.get("number")):
        row["label"] = _number(values["number"], faults)
    if _is_filled(values.get("split_by")):
        row[SPLIT_BY] = str(values["split_by"])
    first, merged = samples.setdefault(ident, (place, {"captions": []}))
    faults += [
        f"{ident} has {key} {value!r} here, but {merged[key]!r} at {first}; make them equal"
        for key, value in row.items()
        if merged.setdefault(key, value) != value
    ]
    if _is_filled(caption := values.get("caption")):
        merged["captions"] += caption if isinstance(caption, list) else [caption]
    return faults, ident


def _is_filled(value: Any) -> bool:
    """Return True unless the cell is empty; 0 and False count as filled."""
    return value not in (None, "", [], {})


def _number(value: Any, faults: list[str]) -> float:
    """Parse a numeric label; append to ``faults`` if it is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        faults.append(f"{value!r} is not a finite number; fix the cell of columns.number")
    return number


def _assign_splits(
    samples: Mapping[str, Placed], grouped: bool, split: str | Callable[[str], str] | None
) -> list[str]:
    """Assign a split to every sample without one; return the faults."""
    faults = []
    for ident, (place, row) in samples.items():
        if grouped and SPLIT_BY not in row:
            faults.append(f"{place}: the split_by column is empty; fill in the cell")
        elif "split" not in row and split is None:
            faults.append(
                f"{place}: no split; fill in the cell, or set split=train for rows without one"
            )
        elif isinstance(split, str):
            row.setdefault("split", split)
        elif "split" not in row and split is not None:
            row |= {"split": split(row.get(SPLIT_BY, ident)), RANDOM_SPLIT: True}
    return faults
