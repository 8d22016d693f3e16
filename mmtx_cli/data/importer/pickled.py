"""Pickles of numpy arrays read without executing anything that is in them.

A pickle is a program: it may call whatever it can name. Here it can name only the stand-ins below,
which keep what they are given; not even numpy's own code is handed a hostile state. What comes
out is plain: dicts, lists, texts, numbers, and arrays of numbers or texts.
"""

import pickle
import pickletools
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted_file import RefusedFileError, check_regular

MAX_OPCODES = 10_000_000
"""Objects that a pickle may build; a number in a list is one, an array ten."""
MAX_DEPTH, MAX_VALUES = 64, 40_000_000
"""Levels of lists in lists, and their values; a list in several places counts in each."""

_CODE = re.compile(r"(?:b1|\?|[iuf](?:1|2|4|8)|[SU]\d*|O8?)")


class Kind:
    """Stands in for numpy.dtype: its code, and the order of bytes that comes as its state."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def dtype(self) -> np.dtype:
        """The dtype, if it is one of numbers, texts or objects."""
        if not _CODE.fullmatch(self.code) or self.order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"arrays of {self.code!r} are not read")
        return np.dtype(self.order + self.code)


class Stored:
    """Stands in for numpy.ndarray: shape, kind, order and content, as they come as its state."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state[-4:]  # a version may stand before

    def array(self) -> Any:
        """The array; of objects, a list of plain values."""
        shape, kind, fortran, content = self.state
        dtype = kind.dtype()
        if dtype.kind == "O":
            return np.array([_plain(item) for item in content], dtype=object).reshape(shape)
        raw = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def reconstruct(*_: Any) -> Stored:
    """Stands in for numpy's function of that name: the state follows."""
    return Stored()


def from_buffer(buffer: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> Stored:
    """Stands in for numpy's own function, by which later protocols store arrays."""
    if axes is not None:
        raise pickle.UnpicklingError("an array whose axes are turned is not read")
    if not isinstance(buffer, bytes | bytearray):  # bytes(10**12) would be a terabyte
        raise pickle.UnpicklingError(f"an array of {type(buffer).__name__} is not read")
    stored = Stored()
    stored.state = shape, kind, order == "F", buffer
    return stored


def scalar(kind: Any, content: Any = b"") -> Any:
    """Stands in for numpy's function of that name."""
    stored = Stored()
    stored.state = (), kind, False, content
    return stored


def no_bytes(*args: Any) -> bytes:
    """Stands in for bytes, which early protocols call for those of length 0."""
    if args:
        raise pickle.UnpicklingError("bytes that are made rather than stored are not read")
    return b""


_NUMPY: dict[str, dict[str, Any]] = {
    "multiarray": {"_reconstruct": reconstruct, "scalar": scalar},
    "numeric": {"_frombuffer": from_buffer},
}
KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): Stored,
    ("numpy", "dtype"): Kind,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "bytes"): no_bytes,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")  # numpy 1 and numpy 2
        for module, names in _NUMPY.items()
        for name, stand_in in names.items()
    },
}
"""All that a pickle may name, and what it gets."""


class Reader(pickle.Unpickler):
    """An unpickler that gives stand-ins, and refuses every other name."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 stored bytes as such texts
        self.left = size

    def latin1(self, text: Any, *_: Any) -> bytes:
        """Stands in for _codecs.encode, by which early protocols store bytes.

        One text in the file may be encoded a thousand times; together they are no longer than it.
        """
        self.left -= len(str(text))
        if self.left < 0:
            raise pickle.UnpicklingError("it holds more bytes than the file")
        return str(text).encode("latin1")

    def find_class(self, module: str, name: str) -> Any:
        """What the pickle gets for a name."""
        module = "builtins" if module == "__builtin__" else module  # early protocols say so
        if (module, name) == ("_codecs", "encode"):
            return self.latin1
        if (module, name) not in KNOWN:
            raise HostileError(
                f"asks for {module}.{name}, which is no part of an array; nothing was executed: do "
                "not trust this file, or save its content again as plain arrays"
            )
        return KNOWN[module, name]


class HostileError(pickle.UnpicklingError):
    """A pickle names what it may not."""


def read_pickle(path: Path) -> Any:
    """What a pickle of arrays and plain containers holds; arrays become such with ``plain``.

    Raises:
        DataError: if it is no such pickle, naming what else it asks for.
    """
    try:
        size = check_regular(path)
        with path.open("rb") as file:
            if any(number >= MAX_OPCODES for number, _ in enumerate(pickletools.genops(file))):
                raise RefusedFileError(f"builds more than {MAX_OPCODES:,} objects")
            file.seek(0)
            return Reader(file, size).load()
    except RefusedFileError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; source= names the pickle") from error
    except HostileError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # a damaged program may fail anywhere
        what = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: not a pickle that can be read: {what}") from error


def plain(value: Any) -> Any:
    """A value with arrays in place of what stood in for them.

    Raises:
        ValueError: if an array is of a kind that is not read, or its content does not fit it; or
            if lists hold too much.
    """
    layer, left = [_items(value)], MAX_VALUES
    for _ in range(MAX_DEPTH):
        if (left := left - sum(map(len, layer))) < 0:
            raise ValueError(f"its lists hold more than {MAX_VALUES:,} values")
        layer = [inner for items in layer for item in items if (inner := _items(item))]
        if not layer:
            return _plain(value)
    raise ValueError(f"its lists are nested deeper than {MAX_DEPTH} levels")


def _items(value: Any) -> Sequence[Any]:
    """What a list, or an array of objects, holds."""
    if isinstance(value, Stored) and isinstance(value.state, tuple):
        value = value.state[-1]
    return value if isinstance(value, list | tuple) else ()


def _plain(value: Any) -> Any:
    if isinstance(value, Stored):
        try:
            found = value.array()
        except Exception as error:  # whatever a hostile state leads to
            raise ValueError(f"an array that cannot be read: {error}") from error
        return found[()] if found.ndim == 0 else found
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
