"""How much memory features take by what their file declares, before anything of them is read."""

import math
import zipfile
from typing import Any

import numpy as np


class SizeError(ValueError):
    """Features that take more memory than they may."""


def check_memory(size: int, memory: int) -> None:
    """Raise SizeError if ``size`` bytes are more than ``memory``."""
    if size > memory:
        raise SizeError(
            f"too large: reading it takes {size / 1e9:,.1f} GB, more than data.decode_memory="
            f"{memory / 1e9:g} allows; keep large arrays in .npy, .safetensors or .h5, which are "
            "read in part, or raise data.decode_memory (of mmtx data action=check: decode_memory)"
        )


def number_size(stored: Any) -> int:
    """Bytes of one number of an array, a tensor or a dataset."""
    if (size := getattr(stored, "itemsize", None)) is not None:
        return int(size)
    dtype = getattr(stored, "dtype", None)  # h5py's datasets have a dtype alone
    return int(getattr(dtype, "itemsize", 8))


def chunk_size(stored: Any) -> int:
    """Bytes of a chunk of an HDF5 dataset, which is unpacked whole for each number of it."""
    chunks = getattr(stored, "chunks", None)
    if not isinstance(chunks, tuple):
        return 0
    return math.prod(chunks) * number_size(stored)


def member_size(archive: zipfile.ZipFile, key: str | None) -> int:
    """Bytes of an array of an ``.npz``, by the zip or by its header, whichever declares more."""
    names = archive.namelist()
    name = f"{key}.npy" if f"{key}.npy" in names else str(key)
    declared = archive.getinfo(name).file_size
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:  # 3.0 is 2.0 with names of fields in other letters, which no numbers have
            return declared
        shape, _, dtype = read(member)
    return max(declared, math.prod(shape) * dtype.itemsize)
