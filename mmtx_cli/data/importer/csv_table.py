"""A plain CSV of images and captions, one caption a line, to manifest rows."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.data.name import nearest
from mmtx_cli.data.table import check_exists, csv_rows
from mmtx_cli.error import DataError

# what a column may become; those of media get the folder put before
_MEDIA = ("image", "video", "audio")
TARGETS = ("id", *_MEDIA, "caption", "text", "label", "split", "group")
_SHOWN = 20


def rows(
    path: str | Path,
    images: str | Path,
    columns: Mapping[str, str] | None = None,
    *,
    split: str | None = None,
    delimiter: str = ",",
) -> Iterator[dict[str, Any]]:
    """Yield a row a sample: the lines of one image, or of one id where there is such a column.

    ``columns`` says which column holds what, e.g. ``{"image": "file", "caption": "comment"}``;
    by default every column is what its name says. Paths begin with the folder ``images``.

    Raises:
        DataError: with file:line, if a column is missing, or lines of a sample contradict.
    """
    path = Path(path)
    check_exists(path)
    samples: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    chosen: dict[str, str] = {}
    for line, cells in csv_rows(path, delimiter):
        if isinstance(cells, str):
            faults.append(f"{path}:{line}: {cells}")
            continue
        chosen = chosen or _chosen(path, list(cells), columns)
        values = {ours: (cells.get(theirs) or "").strip() for ours, theirs in chosen.items()}
        faults += [
            f"{path}:{line}: {fault}" for fault in _add(samples, values, Path(images), split)
        ]
    if not samples and not faults:
        faults = [f"{path}: no lines below the header; give a CSV of images and captions"]
    if faults:
        more = [f"… and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise DataError(*faults[:_SHOWN], *more)
    yield from samples.values()


def _chosen(path: Path, header: list[str], columns: Mapping[str, str] | None) -> dict[str, str]:
    chosen = dict(columns) if columns else {name: name for name in TARGETS if name in header}
    faults = []
    for ours, theirs in chosen.items():
        if ours not in TARGETS:
            faults.append(f"columns.{ours}: write one of {', '.join(TARGETS)}")
        if theirs not in header:
            near = nearest(theirs, header, 0.6)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(header)}"
            faults.append(f"{path}:1: no column {theirs!r}; {hint}")
    if not faults and not {"id", *_MEDIA} & chosen.keys():
        faults.append(
            f"{path}:1: which column holds the images? it has {', '.join(header)}; "
            "write e.g. columns={image: file, caption: comment}"
        )
    if faults:
        raise DataError(*faults)
    return chosen


def _add(
    samples: dict[str, dict[str, Any]], values: dict[str, str], folder: Path, split: str | None
) -> list[str]:
    """Add a line to the sample that it belongs to; return what is wrong with it."""
    media = {key: values[key] for key in _MEDIA if values.get(key)}
    ident = values.get("id") or next(iter(media.values()), "")
    if not ident:
        return ["neither id nor image; fill the cell or remove the line"]
    row = {"id": ident, "split": values.get("split") or split}
    row |= {key: str(folder / value) for key, value in media.items()}
    row |= {key: values[key] for key in ("text", "label", "group") if values.get(key)}
    known = samples.setdefault(ident, {**row, "captions": []})
    faults = [
        f"{ident} has {key} {value!r} here, {known.get(key)!r} before; make them agree"
        for key, value in row.items()
        if known.get(key) != value
    ]
    if values.get("caption"):
        known["captions"].append(values["caption"])
    return faults
