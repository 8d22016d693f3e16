"""Samples as Arrow columns, and back."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mmtx_cli.counter_rng.bits import id_keys
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.data.manifest.sample import SPLITS, Sample

FIELDS = tuple(Sample.__dataclass_fields__)
NO_LABEL, NAME, REAL, INTEGER, NAMES = range(5)
"""Kinds of labels; the two kinds of numbers stay apart, since they are printed differently."""
ALWAYS = ("id", "key", "split", "line")
"""Columns of every table; the others are left out if no row has them."""
_LISTS: tuple[str, ...] = ("image", "captions", "label", "answers", "answer_weights")
_LISTS += ("features", "feature_path", "feature_key", "feature_row")


def record_batches(rows: Sequence[tuple[Any, ...]]) -> "list[Any]":
    """Return samples, given as the values of their fields but the corpus, as record batches.

    There are several batches if a column has more text than one can hold (2 GB).
    """
    import pyarrow

    if not rows:
        return []
    arrays = {name: make() for name, make in _columns(rows).items()}
    if any(isinstance(array, pyarrow.ChunkedArray) for array in arrays.values()):
        half = len(rows) // 2
        return [*record_batches(rows[:half]), *record_batches(rows[half:])]
    return [pyarrow.RecordBatch.from_arrays([*arrays.values()], [*arrays])]


def _columns(rows: Sequence[tuple[Any, ...]]) -> dict[str, Callable[[], Any]]:
    """Return how to make each column that is not empty."""
    import pyarrow as pa

    fields = dict(zip(FIELDS, zip(*rows, strict=True), strict=False))
    text, texts = pa.string(), pa.list_(pa.string())
    columns: dict[str, Callable[[], Any]] = {
        "id": lambda: pa.array(fields["id"], text),
        "key": lambda: pa.array(id_keys(fields["id"]), pa.uint64()),
        "split": lambda: pa.array([SPLITS.index(s) for s in fields["split"]], pa.uint8()),
        "line": lambda: pa.array(fields["line"], pa.int64()),
    }

    def add(name: str, values: Sequence[Any], kind: Any) -> None:
        columns[name] = lambda: pa.array(values, kind)

    for name in ("video", "audio", "text", "group"):
        if any(value is not None for value in fields[name]):
            add(name, fields[name], text)
    for name in ("start", "end"):
        if any(value is not None for value in fields[name]):
            add(name, fields[name], pa.float64())
    for name in ("image", "captions"):
        if any(fields[name]):
            add(name, fields[name], texts)
    if any(label is not None for label in fields["label"]):
        kinds, names, numbers = zip(*map(_label_cells, fields["label"]), strict=True)
        add("label_kind", kinds, pa.uint8())
        add("label", names, texts)
        add("label_number", numbers, pa.float64())
    if any(fields["answers"]):
        add("answers", [list(answers) for answers in fields["answers"]], texts)
        weights = [list(answers.values()) for answers in fields["answers"]]
        add("answer_weights", weights, pa.list_(pa.float64()))
    if any(fields["features"]):
        places = [list(features.values()) for features in fields["features"]]
        add("features", [list(features) for features in fields["features"]], texts)
        add("feature_path", [[p.path for p in row] for row in places], texts)
        add("feature_key", [[p.key for p in row] for row in places], texts)
        rows_of = [[None if p.row is None else str(p.row) for p in row] for row in places]
        add("feature_row", rows_of, texts)
    return columns


def _label_cells(label: Any) -> tuple[int, list[str], float | None]:
    """Return the kind of a label, its names (or the digits of an integer), and its number."""
    if label is None:
        return NO_LABEL, [], None
    if isinstance(label, str):
        return NAME, [label], None
    if isinstance(label, tuple):
        return NAMES, list(label), None
    if isinstance(label, int):
        return INTEGER, [str(label)], float(label)
    return REAL, [], label


def samples_of(batch: Any, corpus: str | None = None) -> Iterator[Sample]:
    """Yield the samples in a record batch; of a corpus of several, with its name."""
    cells = {name: cells_of(batch, name) for name in batch.schema.names if name != "key"}
    rows = batch.num_rows
    nothing: list[Any] = [None] * rows
    columns = [_field(name, cells, rows, nothing) for name in FIELDS[:-1]]
    if corpus is None:
        yield from map(Sample, *columns)
        return
    columns[FIELDS.index("id")] = [f"{corpus}/{ident}" for ident in cells["id"]]
    columns[FIELDS.index("group")] = [
        f"{corpus}/{group}" if group else corpus for group in cells.get("group", nothing)
    ]
    yield from map(Sample, *columns, [corpus] * rows)


def _field(name: str, cells: dict[str, list[Any]], rows: int, nothing: list[Any]) -> list[Any]:
    match name:
        case "split":
            return [SPLITS[code] for code in cells["split"]]
        case "label" if "label_kind" in cells:
            return list(map(_label, cells["label_kind"], cells["label"], cells["label_number"]))
        case "label":
            return nothing
        case "answers" if name in cells:
            pairs = zip(cells["answers"], cells["answer_weights"], strict=True)
            return [dict(zip(names, weights, strict=True)) for names, weights in pairs]
        case "features" if name in cells:
            columns = (cells[c] for c in ("features", "feature_path", "feature_key", "feature_row"))
            return [_places(*row) for row in zip(*columns, strict=True)]
        case "answers" | "features":
            return [{} for _ in range(rows)]
        case "image" | "captions":
            return list(map(tuple, cells[name])) if name in cells else [()] * rows
    return cells.get(name, nothing)


def _label(kind: int, names: list[str], number: float | None) -> Any:
    match kind:
        case 1:
            return names[0]
        case 2:
            return number
        case 3:
            return int(names[0])
        case 4:
            return tuple(names)
    return None


def _places(*columns: list[Any]) -> dict[str, FeaturePlace]:
    return {
        name: FeaturePlace(path, key, None if row is None else int(row))
        for name, path, key, row in zip(*columns, strict=True)
    }


def cells_of(batch: Any, name: str) -> list[Any]:
    """Return a column as Python values; lists are cut from one list, which is fast."""
    column = batch.column(name)
    if name not in _LISTS:
        return list(column.to_pylist())
    values = column.flatten().to_pylist()
    ends = column.offsets.to_numpy()
    ends = (ends - ends[0]).tolist()
    return [values[a:b] for a, b in itertools.pairwise(ends)]


def list_lengths(batch: Any, name: str) -> np.ndarray:
    """Return the number of items in each cell of a column of lists; 0 without the column."""
    if name not in batch.schema.names:
        return np.zeros(batch.num_rows, dtype=np.int64)
    return np.diff(batch.column(name).offsets.to_numpy())
