"""Read untrusted files: regular files only, of limited size and nesting.

A FIFO blocks its reader forever, ``/dev/zero`` has no end, and a small JSON file may take fifty
times its size in memory.
"""

import mmap
import os
import stat
from pathlib import Path
from typing import Any

from mmtx_cli.io.jsonl import parsed_json

MAX_CONFIG_BYTES = 16 * 2**20
"""Size limit of a configuration, a data set card or an index."""
MAX_TOKENIZER_BYTES = 64 * 2**20
"""Size limit of a ``tokenizer.json``; the largest vocabularies take 35 MB."""
MAX_DOCUMENT_BYTES = 2**30
MAX_CONTAINERS, MAX_VALUES = 10_000_000, 40_000_000
"""Limits of a JSON document that contains a whole data set, such as COCO: bytes, number of objects
and lists, and number of values."""
MAX_RECORD_BYTES = 2**28
MAX_CELLS = 10_000_000
"""Limits of a file that a run appends to line by line: bytes and number of values."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class RefusedFileError(ValueError):
    """A file is rejected; the message gives the reason, but does not name the file."""


def check_regular(path: str | os.PathLike[str]) -> int:
    """Return the size of a regular file, without opening it.

    Raises:
        RefusedFileError: if it is not a regular file.
        OSError: if it cannot be accessed.
    """
    return _size(os.stat(path))


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        RefusedFileError: if it is larger, or not a regular file.
        OSError: if it cannot be read.
    """
    check_regular(path)
    with open(path, "rb", opener=_without_waiting) as file:
        size = _size(os.fstat(file.fileno()))
        if size > limit:
            raise RefusedFileError(f"larger than {limit:,} bytes")
        data = file.read(size + 1)  # allocates this much
    if len(data) > size:
        raise RefusedFileError("grew while being read")
    return data


def map_bytes(path: Path, limit: int) -> memoryview:
    """Return the content of a large regular file of at most ``limit`` bytes, without copying it.

    Raises:
        RefusedFileError: if it is larger, empty, or not a regular file.
        OSError: if it cannot be read.
    """
    check_regular(path)
    with open(path, "rb", opener=_without_waiting) as file:
        size = _size(os.fstat(file.fileno()))
        if not 0 < size <= limit:
            raise RefusedFileError(f"larger than {limit:,} bytes" if size else "empty")
        return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))


def read_text(path: Path, limit: int) -> str:
    """Read a regular UTF-8 file, as ``read_bytes`` does."""
    return _decoded(read_bytes(path, limit))


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedFileError(f"not UTF-8 at byte {error.start + 1}") from error


def read_json(path: Path, limit: int = MAX_CONFIG_BYTES) -> Any:
    """Read a regular JSON file, as ``read_bytes`` does.

    Raises:
        RefusedFileError: also if it is not JSON, or nested too deeply.
    """
    try:
        return parsed_json(read_text(path, limit))
    except RecursionError as error:
        raise RefusedFileError("invalid JSON: nested too deeply") from error
    except ValueError as error:
        if isinstance(error, RefusedFileError):
            raise
        raise RefusedFileError(f"invalid JSON: {error}") from error


def read_record(path: Path) -> str:
    """Read the complete lines of a file that a run writes line by line, such as its metrics.

    The last line may be incomplete, even within a character.

    Raises:
        RefusedFileError: as ``read_text`` does; also if its values would take gigabytes of memory.
    """
    data = read_bytes(path, MAX_RECORD_BYTES)
    if data.count(b",") + data.count(b"\n") > MAX_CELLS:
        raise RefusedFileError(f"more than {MAX_CELLS:,} values")
    return _decoded(data[: data.rfind(b"\n") + 1])


def check_document(data: bytes) -> None:
    """Check that the values of a JSON document would not take gigabytes of memory.

    Raises:
        RefusedFileError: if a limit is exceeded.
    """
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise RefusedFileError(f"more than {MAX_CONTAINERS:,} lists and objects in one document")
    if data.count(b",") > MAX_VALUES:
        raise RefusedFileError(f"more than {MAX_VALUES:,} values in one document")


def kind_of(mode: int) -> str | None:
    """Return the kind of a file with this mode, in words; None for a regular file."""
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "a special file")


def _size(status: os.stat_result) -> int:
    if (kind := kind_of(status.st_mode)) is not None:
        raise RefusedFileError(f"is {kind}, not a regular file")
    return status.st_size


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
