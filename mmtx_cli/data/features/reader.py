"""Features of a sample as numbers: read from files that stay open, and held to what they are."""

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
from mmtx_cli.io.untrusted_file import RefusedFileError
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.isolated_decoder import Guard
from mmtx_cli.media.worker.limits import DecodeLimits

OPEN = 16
"""Files that a process keeps open."""
LIBRARY_MEMORY = 2**28
"""Bytes that a library may take beside the numbers of a sample."""
_NUMBERS = "buif"


class FeatureFiles:
    """The files that a process reads features from, the last used ones open.

    A copy in a forked or spawned process (a loader's worker) opens its own: neither a position
    in a file nor the state of a library is shared.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        """``limits`` are those of the numbers of one sample while they are read."""
        self.limits = limits or DecodeLimits()
        self.guard = Guard(self.limits.seconds, load_hdf5, self.limits.bytes + LIBRARY_MEMORY)
        self.owner = os.getpid()
        self.files: OrderedDict[str, FeatureFile] = OrderedDict()

    def read(
        self, place: FeaturePlace, width: int | None = None, most: int | None = None
    ) -> Float[np.ndarray, "l c"]:
        """The vectors at a place, one for an array [c], at most the first ``most`` of them.

        HDF5 is read by a process that can be ended: what a file declares says neither what its
        filters unpack a chunk to nor how long that takes.

        Raises:
            UnreadableError: if the file is damaged or lacks the key or row, or what stands there
                is no vector or sequence, takes more than the memory or the time, holds NaN or an
                infinite number, or has vectors of another ``width``.
            DataError: if a package is missing.
        """
        if PurePath(place.path).suffix.lower() in HDF5:
            found = self.guard.run(read_apart, place.path, place, most, self.limits)
        else:
            found = self.read_here(place, most)
        if fault := fault_of(found, width):
            raise UnreadableError(place.path, f"{place.spot}: {fault}" if place.spot else fault)
        return found

    def read_here(self, place: FeaturePlace, most: int | None) -> Float[np.ndarray, "l c"]:
        """As ``read``, by this process, whatever the numbers are."""
        try:
            stored = self.file(place.path).stored(place.key)
            return vectors(stored, place.row, most, self.limits.bytes)
        except DataError:
            raise
        except Exception as error:  # parsers of hostile bytes raise anything; none may stop a run
            raise UnreadableError(place.path, reason_of(error)) from error

    def file(self, path: str) -> FeatureFile:
        """The open file of a path."""
        if self.owner != os.getpid():
            self.close_files()  # the copies that this process got of another's
            self.owner = os.getpid()
        if path in self.files:
            self.files.move_to_end(path)
        else:
            self.files[path] = open_features(path, self.limits.bytes)
            if len(self.files) > OPEN:
                self.files.popitem(last=False)[1].close()
        return self.files[path]

    def close_files(self) -> None:
        """Let go of the files that this process holds."""
        while self.files:
            self.files.popitem()[1].close()

    def close(self) -> None:
        """Let go of every file."""
        self.close_files()
        self.guard.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "owner": 0, "files": OrderedDict()}


@cache
def _files_apart(limits: DecodeLimits) -> FeatureFiles:
    return FeatureFiles(limits)


def read_apart(
    path: str, place: FeaturePlace, most: int | None, limits: DecodeLimits
) -> Float[np.ndarray, "l c"]:
    """Read in the guard's process, which keeps its files open; ``path`` is that of the place."""
    return _files_apart(limits).read_here(place, most)


class ShapeError(ValueError):
    """What is stored is no vector and no sequence of vectors."""


def vectors(
    stored: Any, row: int | None, most: int | None, memory: int = DecodeLimits().bytes
) -> Float[np.ndarray, "l c"]:
    """The first ``most`` vectors of an array, or of one of its rows; only these are read.

    They and the 32-bit numbers that are made of them may take ``memory`` bytes: what a file
    declares is looked at before anything is made.
    """
    shape = tuple(stored.shape)
    if row is not None:
        if not shape or row >= shape[0]:
            raise ShapeError(f"there is no row {row}: the array is of shape {list(shape)}")
        shape = shape[1:]
    if len(shape) not in (1, 2) or 0 in shape:
        raise ShapeError(
            f"of shape {list(shape)}, which is neither a vector [c] nor a sequence [l, c]"
        )
    index: tuple[int | slice, ...] = () if row is None else (row,)
    kind = getattr(getattr(stored, "dtype", None), "kind", "f")  # of tensors, torch says it
    if kind not in _NUMBERS:
        raise ShapeError(f"holds {stored.dtype}, no numbers")
    count = 1
    if len(shape) == 2:  # not beyond the end, which safetensors refuses
        count = shape[0] if most is None else min(most, shape[0])
        index += (slice(0, count),)
    check_memory(count * shape[-1] * (number_size(stored) + 4) + chunk_size(stored), memory)
    return floats(stored[index or (slice(None),)]).reshape(-1, shape[-1])


def floats(part: Any) -> Float[np.ndarray, "..."]:
    """32-bit numbers of an array or a tensor; one that is too large for them becomes infinite."""
    if not isinstance(part, np.ndarray):  # a tensor: numpy has no bfloat16
        part = part.float().numpy()
    if part.dtype.kind not in _NUMBERS:
        raise ShapeError(f"holds {part.dtype}, no numbers")
    with np.errstate(over="ignore"):
        return np.array(part, dtype=np.float32)  # a copy: the file may be closed before it is used


def fault_of(found: Float[np.ndarray, "l c"], width: int | None) -> str | None:
    """What of vectors a model cannot use."""
    if width is not None and found.shape[1] != width:
        return f"vectors of {found.shape[1]} numbers where the others have {width}"
    bad = found.size - int(np.isfinite(found).sum())
    return f"{bad} of {found.size} numbers are NaN or infinite" if bad else None


def reason_of(error: Exception) -> str:
    """One line that says why a file cannot be read."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, (ShapeError, SizeError, RefusedFileError)):
        return text
    if "pickle" in text.lower() or "Python objects" in text or "weights_only" in text.lower():
        return "holds other things than numbers (pickled objects), which are never loaded"
    return f"cannot be read: {type(error).__name__}: {text}"
