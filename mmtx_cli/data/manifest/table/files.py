"""Arrow files of samples: several batches with the columns that any of them has."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.data.manifest.table.columns import ALWAYS, NO_LABEL


def batches_in(path: Path) -> Iterator[Any]:
    """Yield the record batches of a mapped file."""
    import pyarrow

    reader = pyarrow.ipc.open_file(pyarrow.memory_map(str(path)))
    yield from (reader.get_batch(k) for k in range(reader.num_record_batches))


def schema_of(path: Path) -> Any:
    """Return the columns of a file."""
    import pyarrow

    return pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).schema


def write_batches(path: Path, schemas: Iterable[Any], batches: Iterable[Any]) -> None:
    """Write batches to one file; a column that a batch lacks is empty in its rows.

    Args:
        path: The file.
        schemas: The columns of the batches.
        batches: The batches.
    """
    import pyarrow as pa

    fields = {field.name: field for schema in schemas for field in schema}
    kinds = (pa.string(), pa.uint64(), pa.uint8(), pa.int64())
    always = {name: pa.field(name, kind) for name, kind in zip(ALWAYS, kinds, strict=True)}
    schema = pa.schema([*(always | fields).values()])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            arrays: Sequence[Any] = [
                columns[f.name] if f.name in columns else _empty(f.type, batch.num_rows)
                for f in schema
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def replaced(batch: Any, columns: dict[str, Any]) -> Any:
    """Return a batch with other values in some of its columns."""
    import pyarrow as pa

    arrays = dict(zip(batch.schema.names, batch.columns, strict=True)) | columns
    return pa.RecordBatch.from_arrays([*arrays.values()], [*arrays])


def _empty(kind: Any, rows: int) -> Any:
    """Return a column without values: empty lists, no label, or nulls."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        ends = pa.array(np.zeros(rows + 1, dtype=np.int32))
        return pa.ListArray.from_arrays(ends, pa.array([], kind.value_type))
    if pa.types.is_uint8(kind):
        return pa.array(np.full(rows, NO_LABEL, dtype=np.uint8))
    return pa.nulls(rows, kind)
