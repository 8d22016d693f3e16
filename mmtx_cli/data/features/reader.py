"""Reading and validation of sample features, with a cache of open files."""

import os
from collections import OrderedDict
from functools import cache
from pathlib import PurePath
from typing import Any

import numpy as np
from jaxtyping import Float

from mmtx_cli.data.features.formats import FeatureFile, load_hdf5, open_features
from mmtx_cli.data.features.size_limits import SizeError, check_memory, chunk_size, number_size
from mmtx_cli.data.manifest.feature_reference import HDF5, FeaturePlace
from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits

MAX_OPEN_FILES = 16
"""Maximum number of files that a process keeps open."""
LIBRARY_MEMORY = 2**28
"""Memory in bytes that libraries may use in addition to a sample's features."""
_NUMBERS = "buif"


class FeatureFiles:
    """Feature files of a process, with the most recently used ones kept open.

    A copy in a forked or spawned process (a loader's worker) opens its own files, so that neither
    file positions nor library state are shared.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        """Create the reader; ``limits`` apply to reading the features of one sample."""
        self.limits = limits or DecodeLimits()
        self.guard = IsolatedDecoder(
            self.limits.seconds, load_hdf5, self.limits.bytes + LIBRARY_MEMORY
        )
        self.owner = os.getpid()
        self.files: OrderedDict[str, FeatureFile] = OrderedDict()

    def read(
        self, place: FeaturePlace, width: int | None = None, most: int | None = None
    ) -> Float[np.ndarray, "l c"]:
        """Return the first ``most`` vectors of a feature reference; an array [c] is one vector.

        HDF5 is read in a subprocess with time and memory limits, since a file's metadata bounds
        neither the size nor the duration of decompressing a chunk.

        Raises:
            UnreadableError: if the file is damaged, the key or row does not exist, the content is
                not a vector or sequence, exceeds the memory or time limit, is not finite, or has
                vectors of another ``width``.
            DataError: if a package is missing.
        """
        if PurePath(place.path).suffix.lower() in HDF5:
            found = self.guard.run(read_in_subprocess, place.path, place, most, self.limits)
        else:
            found = self.read_unchecked(place, most)
        if fault := fault_of(found, width):
            raise UnreadableError(
                place.path, f"{place.key_and_row}: {fault}" if place.key_and_row else fault
            )
        return found

    def read_unchecked(self, place: FeaturePlace, most: int | None) -> Float[np.ndarray, "l c"]:
        """Read like ``read``, but in this process and without validating the values."""
        try:
            stored = self.file(place.path).stored(place.key)
            return vectors(stored, place.row, most, self.limits.bytes)
        except DataError:
            raise
        except Exception as error:  # parsers of damaged files may raise anything
            raise UnreadableError(place.path, reason_of(error)) from error

    def file(self, path: str) -> FeatureFile:
        """Return the open file of a path."""
        if self.owner != os.getpid():
            self.close_files()  # inherited from the parent process
            self.owner = os.getpid()
        if path in self.files:
            self.files.move_to_end(path)
        else:
            self.files[path] = open_features(path, self.limits.bytes)
            if len(self.files) > MAX_OPEN_FILES:
                self.files.popitem(last=False)[1].close()
        return self.files[path]

    def close_files(self) -> None:
        """Close all files that this process has open."""
        while self.files:
            self.files.popitem()[1].close()

    def close(self) -> None:
        """Close all files and the subprocess."""
        self.close_files()
        self.guard.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "owner": 0, "files": OrderedDict()}


@cache
def _subprocess_files(limits: DecodeLimits) -> FeatureFiles:
    return FeatureFiles(limits)


def read_in_subprocess(
    path: str, place: FeaturePlace, most: int | None, limits: DecodeLimits
) -> Float[np.ndarray, "l c"]:
    """Read features in the guard's subprocess, which caches open files.

    Args:
        path: Path of ``place``, which the guard uses in messages.
        place: The feature reference.
        most: Maximum number of vectors, or None for all.
        limits: Limits on reading one sample.
    """
    return _subprocess_files(limits).read_unchecked(place, most)


class ShapeError(ValueError):
    """Raised if the stored array is not a vector or a sequence of vectors."""


def vectors(
    stored: Any, row: int | None, most: int | None, memory: int = DecodeLimits().bytes
) -> Float[np.ndarray, "l c"]:
    """Return the first ``most`` vectors of an array or of one of its rows, reading only these.

    The declared size is checked before reading: the stored values and their float32 copy may take
    ``memory`` bytes.

    Args:
        stored: The array, tensor or dataset.
        row: The row to read, or None for the whole array.
        most: Maximum number of vectors, or None for all.
        memory: Memory limit in bytes.

    Raises:
        ShapeError: if it is not a numeric vector or sequence, or the row does not exist.
        SizeError: if it exceeds the memory limit.
    """
    shape = tuple(stored.shape)
    if row is not None:
        if not shape or row >= shape[0]:
            raise ShapeError(f"row {row} does not exist: the array has shape {list(shape)}")
        shape = shape[1:]
    if len(shape) not in (1, 2) or 0 in shape:
        raise ShapeError(f"has shape {list(shape)}, but must be a vector [c] or a sequence [l, c]")
    index: tuple[int | slice, ...] = () if row is None else (row,)
    kind = getattr(getattr(stored, "dtype", None), "kind", "f")  # tensors are checked in floats
    if kind not in _NUMBERS:
        raise ShapeError(f"contains {stored.dtype}, not numbers")
    count = 1
    if len(shape) == 2:  # stop at the end: safetensors refuses slices beyond it
        count = shape[0] if most is None else min(most, shape[0])
        index += (slice(0, count),)
    check_memory(count * shape[-1] * (number_size(stored) + 4) + chunk_size(stored), memory)
    return floats(stored[index or (slice(None),)]).reshape(-1, shape[-1])


def floats(part: Any) -> Float[np.ndarray, "..."]:
    """Convert an array or tensor to float32; values out of range become infinite."""
    if not isinstance(part, np.ndarray):  # a tensor, since numpy has no bfloat16
        part = part.float().numpy()
    if part.dtype.kind not in _NUMBERS:
        raise ShapeError(f"contains {part.dtype}, not numbers")
    with np.errstate(over="ignore"):
        return np.array(part, dtype=np.float32)  # a copy: the file may be closed before it is used


def fault_of(features: Float[np.ndarray, "l c"], width: int | None) -> str | None:
    """Return why a model cannot use the vectors (wrong width, not finite), or None."""
    if width is not None and features.shape[1] != width:
        return f"vectors have {features.shape[1]} dimensions, but the others have {width}"
    count = features.size - int(np.isfinite(features).sum())
    return f"{count} of {features.size} values are NaN or infinite" if count else None


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, (ShapeError, SizeError, RefusedFileError)):
        return text
    if "pickle" in text.lower() or "Python objects" in text or "weights_only" in text.lower():
        return "contains pickled Python objects, which are never loaded"
    return f"cannot be read: {type(error).__name__}: {text}"
