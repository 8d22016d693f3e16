"""Readers of feature files, one class per format, each returning sliceable arrays.

Only the requested part is read where the format allows it, and no pickled objects are loaded.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path, PurePath
from typing import Any
from zipfile import is_zipfile

import numpy as np

from mmtx_cli.data.features.size_limits import check_memory, member_size
from mmtx_cli.data.manifest.feature_reference import HDF5
from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted.torch_file import check_archive, check_pickles
from mmtx_cli.io.untrusted.zip_file import check_index, check_packing
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import check_regular
from mmtx_cli.suggest import closest

MAX_LISTED = 5
"""Maximum number of names listed in a message."""


class FeatureFile(ABC):
    """An open feature file."""

    @abstractmethod
    def stored(self, key: str | None) -> Any:
        """Return the array of a name; it has a ``shape`` and is read by indexing."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def open_features(path: str, memory: int) -> FeatureFile:
    """Open a feature file according to its suffix.

    ``memory`` limits the bytes of an array in formats that are read as a whole.

    Raises:
        UnreadableError: if it is not a regular file.
        SizeError: if it is larger than ``memory`` and cannot be mapped.
    """
    check_regular(path)
    suffix = PurePath(path).suffix.lower()
    if suffix in HDF5:
        return Hdf5File(path)
    kinds: dict[str, Callable[[str], FeatureFile]] = {
        ".npy": NpyFile,
        ".npz": partial(NpzFile, memory=memory),
        ".pt": partial(TorchFile, memory=memory),
        ".safetensors": SafetensorsFile,
    }
    return kinds[suffix](path)


def missing_key_error(path: str, key: str | None, known: Iterable[str]) -> UnreadableError:
    """Return the error for a missing key, with a near match or the existing keys."""
    names = list(known)
    if near := None if key is None else closest(key, names, 0.6):
        hint = f"did you mean {near!r}?"
    else:
        hint = f"available keys: {listed(names)}"
    problem = "contains named arrays; specify a key" if key is None else f"has no key {key!r}"
    return UnreadableError(path, f"{problem}; {hint}")


def listed(names: Iterable[str]) -> str:
    """Return the first few names in a file."""
    first = list(islice(names, MAX_LISTED + 1))
    return ", ".join(first[:MAX_LISTED]) + (", …" if first[MAX_LISTED:] else "")


class NpyFile(FeatureFile):
    """A memory-mapped ``.npy`` array."""

    def __init__(self, path: str) -> None:
        self.array: Any = np.lib.format.open_memmap(path, mode="r")

    def stored(self, key: str | None) -> Any:
        """Return the array; the key is ignored."""
        return self.array

    def close(self) -> None:
        """Drop the reference; the file is unmapped once the array is no longer used."""
        self.array = None


class NpzFile(FeatureFile):
    """Arrays in an ``.npz`` zip, which cannot be mapped; the last one read is cached."""

    def __init__(self, path: str, memory: int) -> None:
        self.path, self.memory = path, memory
        if not is_zipfile(path):
            raise UnreadableError(path, "not a zip archive of arrays as written by numpy.savez")
        check_index(path)
        self.file: Any = np.load(path, allow_pickle=False)
        check_packing(self.file.zip)
        self.last: tuple[str | None, Any] = (None, None)

    def stored(self, key: str | None) -> Any:
        """Decompress one array."""
        if key not in self.file.files:
            raise missing_key_error(self.path, key, self.file.files)
        if self.last[0] != key:
            self.last = None, None  # free the previous array first
            check_memory(member_size(self.file.zip, key), self.memory)
            self.last = key, self.file[key]
        return self.last[1]

    def close(self) -> None:
        """Close the zip."""
        self.last = None, None
        self.file.close()


class TorchFile(FeatureFile):
    """A tensor or a dict of tensors, memory-mapped if the file format allows it."""

    def __init__(self, path: str, memory: int) -> None:
        import torch

        self.path = path
        # files from before torch 1.6 are not zips and cannot be mapped
        mapped = is_zipfile(path)
        if mapped:
            check_archive(Path(path))
        else:
            check_memory(os.path.getsize(path), memory)
            check_pickles(Path(path))
        self.content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)

    def stored(self, key: str | None) -> Any:
        """Return the tensor, or the one with this name in a dict."""
        import torch

        found = self.content
        if isinstance(found, dict):
            if key not in found:
                raise missing_key_error(self.path, key, map(str, found))
            found = found[key]
        elif key is not None:
            raise UnreadableError(self.path, "contains one unnamed tensor; remove the key")
        if not isinstance(found, torch.Tensor):
            raise UnreadableError(self.path, f"contains a {type(found).__name__}, not a tensor")
        return found.detach()

    def close(self) -> None:
        """Drop the reference; the file is unmapped once its tensors are no longer used."""
        self.content = None


class SafetensorsFile(FeatureFile):
    """Tensors of a safetensors file, of which only the requested part is read."""

    def __init__(self, path: str) -> None:
        from safetensors import safe_open

        self.path = path
        self.file: Any = safe_open(path, framework="numpy")
        self.names = frozenset(self.file.keys())

    def stored(self, key: str | None) -> Any:
        """Return the tensor of this name."""
        if key not in self.names:
            raise missing_key_error(self.path, key, sorted(self.names))
        part = self.file.get_slice(key)
        if part.get_dtype() in ("BF16", "F8_E4M3", "F8_E5M2"):  # not supported by numpy
            from safetensors import safe_open

            part = safe_open(self.path, framework="pt").get_slice(key)
        return Slice(part)

    def close(self) -> None:
        """Drop the reference; the file is unmapped once its tensors are no longer used."""
        self.file = None


class Slice:
    """A safetensors slice with the interface of an array."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.shape = tuple(part.get_shape())

    def __getitem__(self, index: Any) -> Any:
        return self.part[index]


class Hdf5File(FeatureFile):
    """Datasets of an HDF5 file, by path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: Any = hdf5(path).File(path, "r", locking=False)

    def stored(self, key: str | None) -> Any:
        """Return the dataset at this path."""
        return dataset(self.file, self.path, str(key))

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def dataset(file: Any, path: str, key: str) -> Any:
    """Return the dataset of a key in an open HDF5 file.

    Raises:
        UnreadableError: if the key does not exist, is a group, or leads to data stored elsewhere.
            Manifest paths may not leave their root, so files may not refer outside it either;
            links are never followed, since that would open the file behind them.
    """
    import h5py

    found = file
    for part in filter(None, key.split("/")):
        name = part.encode()
        if not isinstance(found, h5py.Group) or not found.id.links.exists(name):
            raise missing_key_error(path, key, file)
        if found.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise _external_data_error(path, key)
        found = found[part]
    if not isinstance(found, h5py.Dataset):
        raise UnreadableError(path, f"key {key} is a group; it contains {listed(found)}")
    return internal_dataset(found, path, key)


def internal_dataset(found: Any, path: str, key: str) -> Any:
    """Return the dataset if it is stored in its own file; raise UnreadableError if not."""
    if found.external or found.is_virtual:
        raise _external_data_error(path, key)
    return found


def _external_data_error(path: str, key: str) -> UnreadableError:
    return UnreadableError(path, f"key {key} links to data stored elsewhere; copy the data")


def load_hdf5() -> None:
    """Import h5py if it is installed."""
    with suppress(ImportError):
        import h5py  # noqa: F401


def hdf5(path: object) -> Any:
    """Return the h5py module; raise DataError if it is not installed."""
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path}: reading HDF5 needs h5py; pip install mmtx[hdf5]") from error
    return h5py
