"""A plain CSV of images and captions, one caption a line, to manifest rows."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.data.keys import RATIOS
from mmtx_cli.data.name import nearest
from mmtx_cli.data.row import named_split
from mmtx_cli.data.table import check_exists, csv_rows
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.fault import at_most

# what a column may become; those of media get the folder put before
_MEDIA = ("image", "video", "audio")
TARGETS = ("id", *_MEDIA, "caption", "text", "label", "split", "group")
_LEARNED = ("caption", "text", "label")
_SUFFIXES = (".csv", ".tsv", ".txt")

Placed = tuple[str, dict[str, Any]]
"""file:line where a sample first stands, and its row."""


def rows(
    path: str | Path,
    images: str | Path,
    columns: Mapping[str, str] | None = None,
    *,
    split: str | Callable[[str], str] | None = None,
    delimiter: str = ",",
    notes: list[str] | None = None,
) -> Iterator[Placed]:
    """Yield a row a sample: the lines of one image, or of one id where there is such a column.

    ``columns`` says which column holds what, e.g. ``{"image": "file", "caption": "comment"}``;
    without, every column is what its name says. Paths begin with the folder ``images``. A line
    that names no split is of ``split``, or of the one that this gives for its id. What columns are
    not taken is appended to ``notes``.

    Raises:
        DataError: with file:line, if a column is missing, or lines of a sample contradict.
        ConfigError: if the delimiter is not one character.
    """
    path = Path(path)
    check_exists(path, "table", _SUFFIXES, "captions= names the CSV")
    samples: dict[str, Placed] = {}
    faults: list[str] = []
    chosen: dict[str, str] = {}
    for line, cells in csv_rows(path, _one_character(path, delimiter)):
        if isinstance(cells, str):
            faults.append(f"{path}:{line}: {cells}")
            continue
        if not chosen:
            chosen = _chosen(path, list(cells), columns, split is not None)
            left = [name for name in cells if name not in chosen.values()]
            if left and notes is not None:
                notes.append(f"{path}: columns that were not taken: {', '.join(left)}")
        values = {ours: (cells.get(theirs) or "").strip() for ours, theirs in chosen.items()}
        place = f"{path}:{line}"
        faults += [f"{place}: {fault}" for fault in _add(samples, place, values, images, split)]
    if not samples and not faults:
        faults = [f"{path}: no lines below the header; give a CSV of images and captions"]
    if faults:
        raise DataError(*at_most(faults))
    yield from samples.values()


def _one_character(path: Path, delimiter: str) -> str:
    # as in a manifest, the name .tsv says that there are tabs
    if delimiter == "\\t" or (delimiter == "," and path.suffix.lower() == ".tsv"):
        return "\t"
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(f"delimiter={delimiter}: write one character, e.g. 'delimiter=\";\"'")
    return delimiter


def _chosen(
    path: Path, header: list[str], columns: Mapping[str, str] | None, has_split: bool
) -> dict[str, str]:
    """Return the column of each target: those named, or every one of a target's own name."""
    named = dict(columns or {})
    # a column of splits need not be named, since no import does without
    own = TARGETS if not named else () if has_split else ("split",)
    chosen = {name: name for name in own if name in header} | named
    faults = []
    for ours, theirs in named.items():
        if ours not in TARGETS:
            faults.append(f"columns.{ours}: write one of {', '.join(TARGETS)}")
        if theirs not in header:
            near = nearest(theirs, header, 0.6)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(header)}"
            faults.append(f"{path}:1: no column {theirs!r}; {hint}")
    if not faults and not {"id", *_MEDIA} & chosen.keys():
        faults.append(
            f"{path}:1: which column holds the images? it has {', '.join(header)}; "
            "write e.g. 'columns={image: file, caption: comment}'"
        )
    elif not faults and not columns and not {*_LEARNED} & {*chosen} and {*header} - {*chosen}:
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
    values: dict[str, str],
    images: str | Path,
    split: str | Callable[[str], str] | None,
) -> list[str]:
    """Add a line to the sample that it belongs to; return what is wrong with it."""
    media = {key: values[key] for key in _MEDIA if values.get(key)}
    ident = values.get("id") or next(iter(media.values()), "")
    if not ident:
        return ["neither id nor image; fill the cell or remove the line"]
    faults: list[str] = []
    row = {"id": ident, "split": _split(values.get("split"), ident, split, faults)}
    row |= {key: str(Path(images) / value) for key, value in media.items()}
    row |= {key: values[key] for key in ("text", "label", "group") if values.get(key)}
    first, known = samples.setdefault(ident, (place, {**row, "captions": []}))
    faults += [
        f"{ident} has {key} {value!r} here, {known.get(key)!r} at {first}; make them agree"
        for key, value in row.items()
        if known.get(key) != value
    ]
    if values.get("caption"):
        known["captions"].append(values["caption"])
    return faults


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
