"""Reading pickled numpy arrays without executing code from the pickle.

A pickle is a program that may call anything it can name. Here it can name only the stand-ins
below, which store their arguments; even numpy's own code is not passed untrusted state. The
result contains only dicts, lists, texts, numbers, and arrays of numbers or texts.
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
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, check_regular

MAX_OPCODES = 10_000_000
"""Maximum number of opcodes; a number in a list takes about one, an array about ten."""
MAX_DEPTH, MAX_VALUES = 64, 40_000_000
"""Maximum nesting depth and total number of list values; a shared list counts each time."""

_CODE = re.compile(r"(?:b1|\?|[iuf](?:1|2|4|8)|[SU]\d*|O8?)")


class Kind:
    """Stand-in for numpy.dtype; stores the type code and, from its state, the byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def dtype(self) -> np.dtype:
        """Return the dtype; only numbers, texts and objects are accepted."""
        if not _CODE.fullmatch(self.code) or self.order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"arrays of {self.code!r} are not supported")
        return np.dtype(self.order + self.code)


class Stored:
    """Stand-in for numpy.ndarray; stores shape, dtype, order and content from its state."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state[-4:]  # may be preceded by a version number

    def array(self) -> Any:
        """Return the array; object arrays contain plain values."""
        shape, kind, fortran, content = self.state
        dtype = kind.dtype()
        if dtype.kind == "O":
            return np.array([_plain(item) for item in content], dtype=object).reshape(shape)
        raw = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def reconstruct(*_: Any) -> Stored:
    """Stand-in for ``numpy._reconstruct``, whose result then receives its state."""
    return Stored()


def from_buffer(buffer: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> Stored:
    """Stand-in for ``numpy._frombuffer``, which pickle protocol 5 uses for arrays.

    Args:
        buffer: The content as bytes.
        kind: Stand-in for the dtype.
        shape: Shape of the array.
        order: "C" or "F".
        axes: Permutation of the axes, which is not supported.
    """
    if axes is not None:
        raise pickle.UnpicklingError("arrays with permuted axes are not supported")
    if not isinstance(buffer, bytes | bytearray):  # bytes(10**12) would allocate a terabyte
        raise pickle.UnpicklingError(f"arrays of {type(buffer).__name__} are not supported")
    stored = Stored()
    stored.state = shape, kind, order == "F", buffer
    return stored


def scalar(kind: Any, content: Any = b"") -> Any:
    """Stand-in for ``numpy.scalar``."""
    stored = Stored()
    stored.state = (), kind, False, content
    return stored


def empty_bytes(*args: Any) -> bytes:
    """Stand-in for ``bytes``, which early protocols call for empty bytes."""
    if args:
        raise pickle.UnpicklingError("bytes that are computed, not stored, are not supported")
    return b""


_NUMPY: dict[str, dict[str, Any]] = {
    "multiarray": {"_reconstruct": reconstruct, "scalar": scalar},
    "numeric": {"_frombuffer": from_buffer},
}
STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): Stored,
    ("numpy", "dtype"): Kind,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "bytes"): empty_bytes,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")  # numpy 1 and numpy 2
        for module, names in _NUMPY.items()
        for name, stand_in in names.items()
    },
}
"""Stand-ins for all names that a pickle may reference, but for ``Reader.latin1``."""


class Reader(pickle.Unpickler):
    """An unpickler that resolves only the names in ``known`` and refuses all others."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 byte strings
        self.left = size
        self.known = {**STAND_INS, ("_codecs", "encode"): self.latin1}

    def latin1(self, text: Any, *_: Any) -> bytes:
        """Stand-in for ``_codecs.encode``, which early protocols use for bytes.

        A memoized text can be encoded repeatedly, so the total length is limited to the file size.
        """
        self.left -= len(str(text))
        if self.left < 0:
            raise pickle.UnpicklingError("it contains more bytes than the file")
        return str(text).encode("latin1")

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name; raise HostileError for any other name."""
        module = "builtins" if module == "__builtin__" else module  # early protocols
        if (module, name) not in self.known:
            raise HostileError(
                f"references {module}.{name}, which is not part of an array; nothing was executed: "
                "do not trust this file, or save its content again as plain arrays"
            )
        return self.known[module, name]


class HostileError(pickle.UnpicklingError):
    """Raised if a pickle references a name that is not allowed."""


def read_pickle(path: Path) -> Any:
    """Return the content of a pickle of arrays and plain containers; see ``plain`` for arrays.

    Raises:
        DataError: if it is not such a pickle; the message names any other object it references.
    """
    try:
        size = check_regular(path)
        with path.open("rb") as file:
            if any(number >= MAX_OPCODES for number, _ in enumerate(pickletools.genops(file))):
                raise RefusedFileError(f"creates more than {MAX_OPCODES:,} objects")
            file.seek(0)
            return Reader(file, size).load()
    except (RefusedFileError, HostileError) as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; set source= to the pickle file") from error
    except Exception as error:  # a damaged pickle may fail anywhere
        what = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: cannot read pickle: {what}") from error


def plain(value: Any) -> Any:
    """Return a value with its array stand-ins converted to arrays.

    Raises:
        ValueError: if an array has an unsupported dtype or inconsistent content, or if lists are
            too large or too deeply nested.
    """
    level, remaining = [_items(value)], MAX_VALUES
    for _ in range(MAX_DEPTH):
        if (remaining := remaining - sum(map(len, level))) < 0:
            raise ValueError(f"its lists contain more than {MAX_VALUES:,} values")
        level = [inner for items in level for item in items if (inner := _items(item))]
        if not level:
            return _plain(value)
    raise ValueError(f"its lists are nested deeper than {MAX_DEPTH} levels")


def _items(value: Any) -> Sequence[Any]:
    """Return the items of a list or of an object array."""
    if isinstance(value, Stored) and isinstance(value.state, tuple):
        value = value.state[-1]
    return value if isinstance(value, list | tuple) else ()


def _plain(value: Any) -> Any:
    if isinstance(value, Stored):
        try:
            array = value.array()
        except Exception as error:  # a hostile state may raise anything
            raise ValueError(f"cannot read an array: {error}") from error
        return array[()] if array.ndim == 0 else array
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
