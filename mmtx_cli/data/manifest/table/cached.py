"""Samples of large manifests, read once and then mapped from the cache."""

import os
import sys
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mmtx_cli.data.manifest.path_resolver import Root
from mmtx_cli.data.manifest.reading import Reading
from mmtx_cli.data.manifest.table.first_reading import SAMPLES, Found, write_samples
from mmtx_cli.data.manifest.table.samples import SampleTable, TableFile
from mmtx_cli.data.manifest.table.store import cache_root, made, remove_old
from mmtx_cli.errors import ConfigError, DataError

ROWS = "MMTX_TABLE_ROWS"
"""Environment variable: number of rows from which on a manifest is read into a table."""
DEFAULT_ROWS = 100_000
_BLOCK = 2**20


class _FaultyError(Exception):
    """Ends the making of a table that is not to be kept."""

    def __init__(self, table: SampleTable, faults: list[str]) -> None:
        super().__init__()
        self.table, self.faults = table, faults


def is_large(path: Path) -> bool:
    """Return True for a manifest of so many rows that it is read into a table.

    Lines are counted for text, which is exact but for cells of several lines.

    Raises:
        ConfigError: if the number in MMTX_TABLE_ROWS is not one.
    """
    text = os.environ.get(ROWS, "")
    try:
        least = int(text or DEFAULT_ROWS)
    except ValueError as error:
        raise ConfigError(f"{ROWS}={text}: expected a number of rows") from error
    if path.suffix.lower() == ".parquet":
        return _parquet_rows(path) >= least
    lines = 0
    with path.open("rb") as file:
        while lines < least and (block := file.read(_BLOCK)):
            lines += block.count(b"\n")
    return lines >= least


def _parquet_rows(path: Path) -> int:
    """Return the number of rows; 0 for a damaged file, whose fault is reported on reading."""
    import pyarrow
    from pyarrow import parquet

    try:
        return int(parquet.read_metadata(path).num_rows)
    except (OSError, pyarrow.ArrowException):
        return 0


def read_table(reading: Reading) -> tuple[SampleTable, list[str]]:
    """Return the valid rows of a manifest, and all faults.

    A manifest without faults is kept in the cache. As long as it and its card do not change, it is
    not read again, and files are not looked for again.

    Raises:
        DataError: if the manifest changes while it is read.
    """
    key = _key(reading)

    def make(folder: Path) -> None:
        found = write_samples(reading, folder)
        if key != _key(reading):
            raise DataError(f"{reading.path}: was changed while it was read; start again")
        if found.faults:
            raise _FaultyError(_without(folder / SAMPLES, found), found.faults)

    root = cache_root()
    try:
        folder = made(root, key, make)
    except _FaultyError as error:
        return error.table, error.faults
    remove_old(root)
    return SampleTable([TableFile(folder / SAMPLES)]), []


def _without(path: Path, found: Found) -> SampleTable:
    """Return the rows but those of repeated ids; the file stays mapped when it is removed."""
    table = SampleTable([TableFile(path)])
    kept = np.ones(len(table), dtype=bool)
    kept[found.repeated] = False
    return table.take(kept)


def _key(reading: Reading) -> str:
    """Return a hash of everything that the samples follow from."""
    root = Root(reading.folder, allow_outside=False, check_files=False, keys=reading.keys)
    parts = (
        _state(reading.path),
        reading.card.path and _state(reading.card.path),
        root.folder,
        root.real,
        sorted(reading.split.items()) if reading.split else None,
        reading.seed if reading.split else None,
        reading.allow_outside_root,
        reading.check_files,
        sorted(reading.ignored),
        reading.may_be_absent,
        sys.getfilesystemencoding(),
        program(),
    )
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _state(path: Path) -> tuple[object, ...]:
    real = os.path.realpath(path)
    stat = os.stat(real)
    return real, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@cache
def program() -> str:
    """Return a hash of the program that reads manifests and texts: another one reads them anew."""
    digest = blake2b(digest_size=16)
    folder = Path(__file__).parent.parent.parent
    for part in ("manifest", "text"):
        for path in sorted((folder / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
