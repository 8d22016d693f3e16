"""Memory required by feature files, from their metadata, before they are read."""

import math
import zipfile
from typing import Any

import numpy as np


class SizeError(ValueError):
    """Raised for features that exceed the memory limit."""


def check_memory(size: int, memory: int) -> None:
    """Raise SizeError if ``size`` exceeds ``memory``, both in bytes."""
    if size > memory:
        raise SizeError(
            f"too large: reading it needs {size / 1e9:,.1f} GB, more than data.decode_memory="
            f"{memory / 1e9:g} allows; keep large arrays in .npy, .safetensors or .h5, which are "
            "read in part, or raise data.decode_memory (mmtx data action=check: decode_memory)"
        )


def number_size(stored: Any) -> int:
    """Return the bytes per element of an array, tensor or dataset."""
    if (size := getattr(stored, "itemsize", None)) is not None:
        return int(size)
    dtype = getattr(stored, "dtype", None)  # h5py datasets have no itemsize
    return int(getattr(dtype, "itemsize", 8))


def chunk_size(stored: Any) -> int:
    """Return the bytes of an HDF5 chunk, which is always decompressed as a whole."""
    chunks = getattr(stored, "chunks", None)
    if not isinstance(chunks, tuple):
        return 0
    return math.prod(chunks) * number_size(stored)


def member_size(archive: zipfile.ZipFile, key: str | None) -> int:
    """Return the bytes of an ``.npz`` array, the maximum of the zip's and the header's claim."""
    names = archive.namelist()
    name = f"{key}.npy" if f"{key}.npy" in names else str(key)
    declared = archive.getinfo(name).file_size
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:  # version 3.0 only adds Unicode field names, so never numeric arrays
            return declared
        shape, _, dtype = read(member)
    return max(declared, math.prod(shape) * dtype.itemsize)
