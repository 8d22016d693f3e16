"""Import of Parquet files that contain the bytes of images, videos and audio.

Columns are binary, or structs of ``bytes`` and ``path``, as Hugging Face data sets have them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.found import Found
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.shards.byte_rows import LocatedRow, Table, packed_rows
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, check_regular

_ROWS = 64  # rows in memory at once


def read(settings: Settings) -> Found:
    """Return the rows of a Parquet file, or of all in a folder, sorted by name."""
    source = Path(settings["source"])
    files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    if not files:
        raise ConfigError(f"source={source}: holds no .parquet files")
    return packed_rows([_table(file) for file in files], settings)


def _table(path: Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        message = f"{path}: reading Parquet needs pyarrow; pip install mmtx[parquet]"
        raise DataError(message) from error
    try:
        check_regular(path)
        schema = parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError, RefusedFileError) as error:
        raise DataError(f"{path}: cannot read Parquet: {error}") from error
    return Table(_rows(path), schema.names, class_names(schema.metadata or {}))


def _rows(path: Path) -> Iterator[LocatedRow]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}:{number + 1}: cannot read Parquet: {error}") from error


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, Sequence[str]]:
    """Return the class names of columns with numbered classes, which ``datasets`` stores."""
    try:
        features: Any = json.loads(metadata[b"huggingface"])["info"]["features"]
        found = {name: feature.get("names") for name, feature in features.items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return {
        name: names
        for name, names in found.items()
        if isinstance(names, list) and all(isinstance(item, str) for item in names)
    }
