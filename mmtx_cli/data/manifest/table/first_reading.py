"""First reading of a manifest into one Arrow file, and what is wrong with its rows."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.counter_rng.bits import id_keys
from mmtx_cli.data.manifest.label_types import not_finite, number_labels
from mmtx_cli.data.manifest.missing_files import located_faults
from mmtx_cli.data.manifest.reading import Fault, Reading, repeated_id
from mmtx_cli.data.manifest.table.columns import NAME, REAL, cells_of
from mmtx_cli.data.manifest.table.files import batches_in, replaced, schema_of, write_batches
from mmtx_cli.data.manifest.table.parts import read_parts

SAMPLES = "samples.arrow"


@dataclass
class Found:
    """Faults of a manifest's rows, and the row numbers of repeated ids."""

    faults: list[str]
    repeated: np.ndarray


@dataclass
class PartFile:
    """An Arrow file, and how many lines stand before its part."""

    path: Path
    lines_before: int


def write_samples(reading: Reading, folder: Path) -> Found:
    """Write the valid rows of a manifest to ``folder``, with bounded memory.

    Ids are compared by 64-bit hashes first, and themselves only if their hashes are equal.
    """
    _, root = reading.reader()
    files: list[PartFile] = []
    faults: list[Fault] = []
    faulty_ids: list[Fault] = []
    lines = 0
    for part in read_parts(reading, folder):
        files += [PartFile(path, lines) for path in part.files]
        faults += [(line + lines, fault) for line, fault in part.faults]
        faulty_ids += [(line + lines, ident) for line, ident in part.faulty_ids]
        root.missing |= part.missing
        root.num_checked += part.num_checked
        lines += part.num_lines
    numbers = _label_numbers(reading, files)
    keys = _write_file(files, folder / SAMPLES, numbers)
    repeated, repeats = _repeated_ids(folder / SAMPLES, keys, faulty_ids)
    place = reading.path
    found = located_faults([(f"{place}:{n}", f) for n, f in _merged(faults, repeats)], root)
    if not len(keys) and not found:
        found = [f"{place}: no rows; write one JSON object per line"]
    if numbers is not None:
        found += [f"{place}:{n}: {f}" for n, f in _not_finite(files, numbers)]
    for file in files:
        file.path.unlink()
    return Found(found, repeated)


def _write_file(files: Sequence[PartFile], path: Path, numbers: Any) -> np.ndarray:
    """Write all parts to one file; return the keys."""
    import pyarrow.compute as pc

    keys: list[np.ndarray] = []

    def batches() -> Iterator[Any]:
        for file in files:
            for batch in batches_in(file.path):
                columns = {"line": pc.add(batch.column("line"), file.lines_before)}
                if numbers is not None and "label" in batch.schema.names:
                    columns |= _numbered(batch, numbers)
                keys.append(batch.column("key").to_numpy().copy())
                yield replaced(batch, columns)

    write_batches(path, [schema_of(file.path) for file in files], batches())
    return np.concatenate(keys) if keys else np.zeros(0, dtype=np.uint64)


def _label_numbers(reading: Reading, files: Sequence[PartFile]) -> dict[str, float] | None:
    """Return the numbers that the labels of a text table mean, or None."""
    if not reading.is_text or reading.card.label_type is not None:
        return None
    labels: set[str] = set()
    for file in files:
        for batch in batches_in(file.path):
            if "label" in batch.schema.names:
                rows = zip(cells_of(batch, "label_kind"), cells_of(batch, "label"), strict=True)
                labels.update(names[0] for kind, names in rows if kind == NAME)
    return number_labels(labels)


def _numbered(batch: Any, numbers: dict[str, float]) -> dict[str, Any]:
    """Return the columns of labels with names replaced by their numbers."""
    import pyarrow as pa

    cells = zip(
        *(cells_of(batch, name) for name in ("label_kind", "label", "label_number")), strict=True
    )
    rows = [
        (REAL, [], numbers[names[0]]) if kind == NAME else (kind, names, number)
        for kind, names, number in cells
    ]
    kinds, names, values = zip(*rows, strict=True)
    return {
        "label_kind": pa.array(kinds, pa.uint8()),
        "label": pa.array(names, pa.list_(pa.string())),
        "label_number": pa.array(values, pa.float64()),
    }


def _not_finite(files: Sequence[PartFile], numbers: dict[str, float]) -> list[Fault]:
    if all(map(isfinite, numbers.values())):
        return []
    faults = []
    for file in files:
        for batch in batches_in(file.path):
            if "label" in batch.schema.names:
                names = ("line", "label_kind", "label")
                for line, kind, label in zip(*(cells_of(batch, n) for n in names), strict=True):
                    if kind == NAME and not isfinite(numbers[label[0]]):
                        faults.append((line + file.lines_before, not_finite(label[0])))
    return faults


def _repeated_ids(
    path: Path, keys: np.ndarray, faulty: Sequence[Fault]
) -> tuple[np.ndarray, list[Fault]]:
    """Return the numbers of valid rows whose id an earlier row has, and the faults by line.

    Args:
        path: The file of valid rows.
        keys: Hashes of their ids.
        faulty: Lines and ids of rows with faults.
    """
    all_keys = np.concatenate([keys, id_keys(ident for _, ident in faulty)])
    ordered = np.sort(all_keys)
    suspects = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(suspects):
        return np.zeros(0, dtype=np.int64), []
    rows: list[tuple[int, str, int | None]] = [
        (line, ident, None)
        for (line, ident), suspect in zip(
            faulty, np.isin(all_keys[len(keys) :], suspects), strict=True
        )
        if suspect
    ]
    start = 0
    for batch in batches_in(path):
        hits = np.flatnonzero(np.isin(keys[start : start + batch.num_rows], suspects))
        for i in hits.tolist():
            row = batch.slice(i, 1)
            rows.append((row.column("line")[0].as_py(), row.column("id")[0].as_py(), start + i))
        start += batch.num_rows
    first: dict[str, int] = {}
    repeated, faults = [], []
    for line, ident, row_number in sorted(rows, key=lambda row: row[0]):
        if first.setdefault(ident, line) != line:
            faults.append((line, repeated_id(ident, f"on line {first[ident]}")))
            if row_number is not None:
                repeated.append(row_number)
    return np.array(repeated, dtype=np.int64), faults


def _merged(faults: Sequence[Fault], repeats: Sequence[Fault]) -> list[Fault]:
    """Insert faults of repeated ids after the other faults of their rows."""
    ends = list(accumulate((line for line, _ in faults), max))
    at: dict[int, list[Fault]] = {}
    for fault in repeats:
        at.setdefault(bisect_right(ends, fault[0]), []).append(fault)
    merged: list[Fault] = []
    for i in range(len(faults) + 1):
        merged += at.get(i, [])
        merged += faults[i : i + 1]
    return merged
