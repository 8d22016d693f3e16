"""A table of samples, one caption a line, as CSV or JSON Lines, to manifest rows."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.vectors import Vectors
from mmtx_cli.data.keys import RATIOS
from mmtx_cli.data.name import nearest
from mmtx_cli.data.row import named_split
from mmtx_cli.data.table import Line, check_exists, csv_rows, read_lines
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.fault import at_most

# what a column may become; those of media get the folder put before
_MEDIA = ("image", "video", "audio")
TARGETS = ("id", *_MEDIA, "caption", "text", "label", "number", "split", "group")
_LEARNED = ("caption", "text", "label", "number")
_JSON = (".jsonl", ".ndjson")
_SUFFIXES = (".csv", ".tsv", ".txt", *_JSON)
SPLIT_BY = "split_by"
"""Key of a row that says with which others it shares its split; it is in no manifest."""

Placed = tuple[str, dict[str, Any]]
"""file:line where a sample first stands, and its row."""


@dataclass(frozen=True)
class Form:
    """How a table is written.

    ``columns`` says which column holds what, e.g. ``{"image": "file", "caption": "comment"}``;
    without, every column is what its name says. Columns that are whole numbers count from 1, and
    say that the table has no header. With ``quoting=False`` quotes are characters like any other,
    and the last column takes all that is left of a line. ``split_by`` is a column whose value
    decides the split in place of the id.
    """

    columns: Mapping[str, str | int] = field(default_factory=dict)
    delimiter: str = ","
    quoting: bool = True
    split_by: str | int | None = None

    @property
    def numbered(self) -> int | None:
        """The greatest number of a column, if columns are numbers."""
        numbers = [name for name in (*self.columns.values(), self.split_by) if type(name) is int]
        return max(numbers, default=None)

    def lines(self, path: Path) -> Iterator[Line]:
        """Cells by column, with their line; values of JSON Lines as they are."""
        if path.suffix.lower() in _JSON:
            return read_lines(path)
        return csv_rows(path, _one_character(path, self.delimiter), self.quoting, self.numbered)


def rows(
    path: str | Path,
    images: str | Path | None,
    form: Form | None = None,
    *,
    split: str | Callable[[str], str] | None = None,
    vectors: Vectors | None = None,
    notes: list[str] | None = None,
) -> Iterator[Placed]:
    """Yield a row a sample: the lines of one image, or of one id where there is such a column.

    Args:
        path: The table.
        images: The folder that paths begin with.
        form: How the table is written.
        split: Of a line that names no split, or what gives one for its id (or ``split_by``).
        vectors: Columns of numbers that are features; they get those of each sample.
        notes: Gets the columns that are not taken.

    Raises:
        DataError: with file:line, if a column is missing, or lines of a sample contradict.
        ConfigError: if the delimiter is not one character.
    """
    path, form = Path(path), form or Form()
    check_exists(path, "table", _SUFFIXES, "captions= names the table")
    samples: dict[str, Placed] = {}
    faults: list[str] = []
    chosen: dict[str, str] = {}
    taken: dict[str, None] = {}
    for line, cells in form.lines(path):
        if isinstance(cells, str):
            faults.append(f"{path}:{line}: {cells}")
            continue
        if not chosen:
            chosen = _chosen(path, list(cells), form, split is not None, vectors)
            taken = dict.fromkeys([*chosen.values(), *(vectors.names if vectors else ())])
            left = [name for name in cells if name not in taken]
            if left and notes is not None:
                notes.append(f"{path}: columns that were not taken: {', '.join(left)}")
        values = {ours: _plain(cells.get(theirs)) for ours, theirs in chosen.items()}
        if not {"id", *_MEDIA} & chosen.keys():  # numbers alone have no name
            values["id"] = str(line)
        place = f"{path}:{line}"
        found, ident = _add(samples, place, values, images, split)
        if vectors and not found:
            found = vectors.add(ident, cells)
        faults += [f"{place}: {fault}" for fault in found]
    if not samples and not faults:
        faults = [f"{path}: no lines below the header; give a table of images and captions"]
    if faults:
        raise DataError(*at_most(faults))
    if vectors:
        vectors.place({ident: row for ident, (_, row) in samples.items()})
    yield from samples.values()


def _plain(value: Any) -> Any:
    """A cell as text; in JSON Lines, lists and numbers stay what they are."""
    return value.strip() if isinstance(value, str) else "" if value is None else value


def _one_character(path: Path, delimiter: str) -> str:
    # as in a manifest, the name .tsv says that there are tabs
    if delimiter == "\\t" or (delimiter == "," and path.suffix.lower() == ".tsv"):
        return "\t"
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(f"delimiter={delimiter}: write one character, e.g. 'delimiter=\";\"'")
    return delimiter


def _chosen(
    path: Path, header: list[str], form: Form, has_split: bool, vectors: Vectors | None
) -> dict[str, str]:
    """Return the column of each target: those named, or every one of a target's own name."""
    named = {ours: str(theirs) for ours, theirs in form.columns.items()}
    if form.split_by is not None:
        by = str(form.split_by)
        named["split_by"] = named.get(by, by)
    # a column of splits need not be named, since no import does without
    own = TARGETS if not form.columns else () if has_split else ("split",)
    chosen = {name: name for name in own if name in header} | named
    faults = vectors.choose(path, header, [*chosen.values()]) if vectors else []
    for ours, theirs in named.items():
        if ours not in (*TARGETS, "split_by"):
            faults.append(f"columns.{ours}: write one of {', '.join(TARGETS)}")
        if theirs not in header:
            near = nearest(theirs, header, 0.6)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(header)}"
            faults.append(f"{path}:1: no column {theirs!r}; {hint}")
    if not faults and not {"id", *_MEDIA} & chosen.keys() and not vectors:
        faults.append(
            f"{path}:1: which column holds the images? it has {', '.join(header)}; "
            "write e.g. 'columns={image: file, caption: comment}'"
        )
    elif (
        not faults
        and not form.columns
        and not {*_LEARNED} & {*chosen}
        and {*header} - {*chosen.values()} - {*(vectors.names if vectors else ())}
    ):
        faults.append(
            f"{path}:1: which column holds the captions (or labels)? it has {', '.join(header)}; "
            f"write e.g. 'columns={{image: {chosen.get('image', 'image')}, caption: COLUMN}}'"
        )
    elif not faults and "split" not in chosen and not has_split:
        faults.append(
            f"{path}:1: no column 'split' (it has {', '.join(header)}), and no split= is given; "
            f"write split=train for all rows, or 'split={RATIOS}', or name the column that holds "
            "it: columns.split=COLUMN"
        )
    if faults:
        raise DataError(*faults)
    return chosen


def _add(
    samples: dict[str, Placed],
    place: str,
    values: dict[str, Any],
    images: str | Path | None,
    split: str | Callable[[str], str] | None,
) -> tuple[list[str], str]:
    """Add a line to the sample that it belongs to; return what is wrong with it, and its id."""
    media = {key: values[key] for key in _MEDIA if values.get(key)}
    if odd := [key for key, value in media.items() if not isinstance(value, str)]:
        return [f"{odd[0]} is {media[odd[0]]!r}; write one path"], ""
    ident = str(values.get("id") or next(iter(media.values()), ""))
    if not ident:
        return ["neither id nor image; fill the cell or remove the line"], ""
    faults: list[str] = []
    by = str(values["split_by"]) if "split_by" in values else ident
    if not by:
        faults.append("the column of split_by is empty here; fill the cell")
    row: dict[str, Any] = {"id": ident, "split": _split(values.get("split"), by, split, faults)}
    row |= {key: str(Path(images or "") / value) for key, value in media.items()}
    row |= {key: values[key] for key in ("text", "label", "group") if values.get(key, "") != ""}
    if values.get("number", "") != "":
        row["label"] = _number(values["number"], faults)
    if "split_by" in values:
        row[SPLIT_BY] = by
    first, known = samples.setdefault(ident, (place, {**row, "captions": []}))
    faults += [
        f"{ident} has {key} {value!r} here, {known.get(key)!r} at {first}; make them agree"
        for key, value in row.items()
        if known.get(key) != value
    ]
    if caption := values.get("caption"):
        known["captions"] += caption if isinstance(caption, list) else [caption]
    return faults, ident


def _number(value: Any, faults: list[str]) -> float:
    """A label that is a number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        faults.append(f"{value!r} is no finite number; mend the cell of columns.number")
    return number


def _split(
    cell: str | None,
    ident: str,
    split: str | Callable[[str], str] | None,
    faults: list[str],
) -> str:
    if cell:
        return named_split(cell, faults)
    if split is None:
        faults.append("no split; fill the cell, or give split=train for lines without one")
        return ""
    return split if isinstance(split, str) else split(ident)
