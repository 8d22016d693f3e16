"""Checks of untrusted ``torch.save`` files before anything is unpacked.

``torch.load(weights_only=True)`` runs no code, but uses as much memory and time as the file
demands: members of the archive may be compressed or overlap, and its pickle may build any number
of lists from a few bytes each.
"""

import pickletools
import zipfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, check_regular
from mmtx_cli.io.untrusted.zip_file import check_index

MAX_PICKLE_BYTES = 256 * 2**20
MAX_OPCODES = 4_000_000
"""Limits of the pickle, which contains everything except the tensors' values: size and opcodes.
A checkpoint of 100,000 tensors has two million opcodes."""
OLD_PICKLES = 5
"""Pickles before the values in a pre-1.6 torch file: magic, version, system, content, keys."""
SMALL_PICKLE = 4 * 2**20
"""A pickle of this size cannot take a gigabyte, whatever its opcodes."""

MAX_PLAIN_DEPTH, MAX_PLAIN_VALUES = 64, 2_000_000
MAX_PLAIN_INT = 2**63


def load_archive(path: Path, lazily: bool = False) -> Any:
    """Load a file checked by ``check_archive``: tensors and plain data only.

    With ``lazily``, the values of tensors are read when they are used.

    Raises:
        Exception: of any type, if the file is truncated or contains anything else.
    """
    import torch

    return torch.load(path, map_location="cpu", weights_only=True, mmap=lazily)


def check_archive(path: Path) -> None:
    """Check that an archive does not unpack to more than its own size.

    Raises:
        RefusedFileError: if it has a property that ``torch.save`` never produces.
        zipfile.BadZipFile, OSError: if it is not an archive or cannot be read.
    """
    size = check_regular(path)
    check_index(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for entry in entries:
            same_size = entry.compress_size == entry.file_size
            if entry.compress_type != zipfile.ZIP_STORED or not same_size:
                raise RefusedFileError(
                    f"{entry.filename} is compressed, which torch.save never does"
                )
        if sum(entry.file_size for entry in entries) > size:
            raise RefusedFileError("its members overlap, which torch.save never does")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                _check_pickle(archive, entry)


def _check_pickle(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    if entry.file_size > MAX_PICKLE_BYTES:
        raise RefusedFileError(f"{entry.filename} is too large for a checkpoint")
    if entry.file_size <= SMALL_PICKLE:
        return
    with archive.open(entry) as file:
        _check_opcodes(file, entry.filename, 1)


def check_pickles(path: Path) -> None:
    """Check the number of opcodes in a pre-1.6 torch file, which is a sequence of pickles.

    Raises:
        RefusedFileError: if there are more than in any file of ``torch.save``.
        ValueError: if it does not begin with pickles.
    """
    with open(path, "rb") as file:
        _check_opcodes(file, "its pickle", OLD_PICKLES)


def _check_opcodes(file: Any, name: str, pickles: int) -> None:
    opcodes = chain.from_iterable(pickletools.genops(file) for _ in range(pickles))
    if any(number >= MAX_OPCODES for number, _ in enumerate(opcodes)):
        raise RefusedFileError(f"{name} builds more objects than any checkpoint contains")


def plain_fault(value: Any) -> str | None:
    """Return why a configuration is not plain data; None if it is.

    Plain data are strings, 64-bit numbers, true, false, null, and lists and mappings of them. A
    pickle may contain cycles, or one list a thousand times: every occurrence is counted.
    """
    count, level = 0, [value]
    for _ in range(MAX_PLAIN_DEPTH):
        next_level: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                if invalid_keys := [key for key in item if type(key) is not str]:
                    return f"a key that is not a string ({type(invalid_keys[0]).__name__})"
                next_level += item.values()
            elif type(item) in (list, tuple):
                next_level += item
            elif fault := _scalar_fault(item):
                return fault
            if count + len(next_level) > MAX_PLAIN_VALUES:
                return f"more than {MAX_PLAIN_VALUES:,} values"
        count += len(next_level)
        level = next_level
        if not level:
            return None
    return f"lists or mappings nested deeper than {MAX_PLAIN_DEPTH} levels"


def _scalar_fault(item: Any) -> str | None:
    if type(item) is int:
        return None if -MAX_PLAIN_INT <= item < MAX_PLAIN_INT else "an integer of more than 64 bits"
    if item is None or type(item) in (str, float, bool):
        return None
    return f"a value of type {type(item).__name__}"
