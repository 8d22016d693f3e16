"""Digests of the rows of a table, equal to those of a list (``data_changes.py``), by column."""

import os
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.columns import cells_of, samples_of
from mmtx_cli.data.manifest.table.samples import SampleTable

_BLOCK = 2**16
_COLUMNS = ("image", "video", "audio", "features", "feature_path")


def table_digests(table: SampleTable) -> dict[str, Any]:
    """Return the number of rows and the digests of their contents."""
    folder = _common_folder(table)
    names = ("ids", "files", "answers", "text", "captions", "label")
    digests = {name: blake2b(digest_size=16) for name in names}
    ordered = table.take(_order_by_id(table))
    for batch, corpus in ordered.blocks(size=_BLOCK):
        columns = dict.fromkeys(batch.schema.names)
        _update(digests["ids"], _ids(batch, corpus))
        _update(digests["text"], _cells(batch, "text", None))
        _update(digests["captions"], map(tuple, _cells(batch, "captions", ())))
        samples = list(samples_of(batch.select(_needed(columns)), corpus))
        _update(digests["label"], (sample.label for sample in samples))
        _update(digests["answers"], (sorted(sample.answers.items()) for sample in samples))
        _update(digests["files"], (files_of(sample, folder) for sample in samples))
    order = blake2b(digest_size=16)
    for batch, corpus in table.blocks(["id"], _BLOCK):
        _update(order, _ids(batch, corpus))
    found = {name: digest.hexdigest() for name, digest in digests.items()}
    return {"rows": len(table), "order": order.hexdigest(), **found}


def _needed(columns: Iterable[str]) -> list[str]:
    return [name for name in columns if name not in ("key", "text", "captions", "group")]


def _update(digest: Any, values: Iterable[object]) -> None:
    text = "\n".join(map(repr, values))
    digest.update(f"{text}\n".encode("utf-8", "surrogatepass"))


def _cells(batch: Any, name: str, absent: object) -> list[Any]:
    return cells_of(batch, name) if name in batch.schema.names else [absent] * batch.num_rows


def _ids(batch: Any, corpus: str | None) -> Iterator[tuple[str, str]]:
    if corpus is None:
        return (("", ident) for ident in cells_of(batch, "id"))
    return ((corpus, f"{corpus}/{ident}") for ident in cells_of(batch, "id"))


def _order_by_id(table: SampleTable) -> np.ndarray:
    """Return the order of the rows by corpus and id: that of code points is that of UTF-8."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts: dict[str, list[tuple[np.ndarray, Any]]] = {}
    first = 0
    for batch, corpus in table.blocks(["id"], _BLOCK):
        rows = np.arange(first, first + batch.num_rows)
        parts.setdefault(corpus or "", []).append((rows, batch.column("id")))
        first += batch.num_rows
    order = []
    for corpus in sorted(parts):
        rows = np.concatenate([part for part, _ in parts[corpus]])
        ids = pa.chunked_array([column for _, column in parts[corpus]])
        order.append(rows[pc.sort_indices(ids).to_numpy()])
    return np.concatenate(order) if order else np.zeros(0, dtype=np.int64)


def _common_folder(table: SampleTable) -> str:
    """Return the common folder of all files; most blocks are only compared with that so far."""
    common: str | None = None
    for batch, _ in table.blocks(_COLUMNS, _BLOCK):
        paths = [path for column in _paths(batch) for path in column]
        start = None if common is None else common.rstrip("/") + "/"
        if paths and (start is None or not all(path.startswith(start) for path in paths)):
            common = os.path.commonpath(paths if common is None else [common, *paths])
    return common or "/"


def _paths(batch: Any) -> Iterator[Iterable[str]]:
    """Yield the paths in each column of files."""
    for name in ("image", "feature_path"):
        if name in batch.schema.names:
            yield chain.from_iterable(cells_of(batch, name))
    for name in ("video", "audio"):
        if name in batch.schema.names:
            yield (path for path in cells_of(batch, name) if path is not None)


def paths_of(row: Sample) -> Iterator[str]:
    """Yield the paths of a sample's files."""
    yield from (path for _, path in row.media())
    yield from (place.path for _, place in sorted(row.features.items()))


def files_of(row: Sample, folder: str) -> object:
    """Return the files of a sample, relative to a folder, and what is read of them."""
    start = folder + "/"
    paths = [
        path[len(start) :] if path.startswith(start) else os.path.relpath(path, folder)
        for path in paths_of(row)
    ]
    references = [(name, place.key_and_row) for name, place in sorted(row.features.items())]
    return paths, row.start, row.end, references
