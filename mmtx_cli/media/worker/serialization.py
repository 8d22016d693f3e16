"""Answers of a decoder process as JSON and raw numbers, so that no answer can execute code.

Media files are untrusted, and a decoder that one of them has compromised may send anything. Only
these are rebuilt: None, bools, numbers, strings, lists, tuples, dicts, arrays, tensors, records
(dataclasses registered with ``record``) and errors from a fixed list.
"""

import builtins
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.media.errors import NoVideoError, OutsideError, UnreadableError
from mmtx_cli.media.worker.ipc import Parts, framed

MAX_HEADER = 16 << 20
"""Maximum bytes of the JSON: a few names and shapes, and the times of frames."""
MAX_ARRAYS = 4096
MAX_TRACE = 20_000
_KINDS = "biufc"
_TORCH_ALONE = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
_MMTX_ERRORS = (UnreadableError, OutsideError, NoVideoError, ConfigError, DataError)
_RECORDS: dict[str, type] = {}

T = TypeVar("T", bound=type)


class MalformedError(ValueError):
    """An answer that no intact process sends."""


def record(cls: T) -> T:
    """Register a dataclass whose instances may be sent, field by field."""
    _RECORDS[cls.__name__] = cls
    return cls


def pack_value(value: Any) -> Parts:
    """Serialize a value.

    Raises:
        TypeError: if it is or contains anything but the types listed in the module docstring.
    """
    arrays: list[np.ndarray] = []
    return _framed({"value": _plain(value, arrays)}, arrays)


def pack_error(error: BaseException, trace: str | None = None) -> Parts:
    """Serialize an error with its traceback; an unlisted one as a RuntimeError with its text."""
    name, args = type(error).__name__, list(error.args)
    if isinstance(error, UnreadableError):
        args = [error.path, error.reason]
    elif isinstance(error, (ConfigError, DataError)):
        args = list(error.faults)
    elif _error_class(name) is not type(error) or not all(isinstance(a, str | int) for a in args):
        name, args = "RuntimeError", [f"{type(error).__qualname__}: {error}"]
    truncated = None if trace is None else trace[-MAX_TRACE:]
    return _framed({"error": name, "args": args, "trace": truncated}, [])


def unpack_answer(parts: Parts) -> tuple[Any, Exception | None, str | None]:
    """Return (value, None, None), or (None, error, traceback).

    Raises:
        MalformedError: if the answer is invalid.
    """
    try:
        header = json.loads(bytes(parts[0]))
        if "error" in header:
            return None, _error(header), header["trace"] and str(header["trace"])
        return _rebuilt(header["value"], parts[1:]), None, None
    except Exception as error:
        raise MalformedError(f"{type(error).__name__}: {error}") from error


def _framed(header: dict[str, Any], arrays: Sequence[np.ndarray]) -> Parts:
    text = json.dumps(header).encode()
    return framed([memoryview(text), *(array.reshape(-1).view(np.uint8).data for array in arrays)])


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """Return a value as JSON types, with its arrays and tensors appended to ``arrays``."""
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, np.generic):
        value = value.item()
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"an array of {value.dtype}")
        arrays.append(np.ascontiguousarray(value))
        native = value.dtype.newbyteorder("=").name
        arrays[-1] = arrays[-1].astype(native, copy=False)
        return {"array": len(arrays), "dtype": native, "shape": list(value.shape)}
    torch = sys.modules.get("torch")  # without it there are no tensors
    if torch is not None and isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous().resolve_conj().resolve_neg()
        arrays.append(tensor.reshape(-1).view(torch.uint8).numpy())
        dtype = str(tensor.dtype).removeprefix("torch.")
        return {"tensor": len(arrays), "dtype": dtype, "shape": list(tensor.shape)}
    if is_dataclass(value) and _RECORDS.get(type(value).__name__) is type(value):
        values = [_plain(getattr(value, field.name), arrays) for field in fields(value)]
        return {"record": type(value).__name__, "fields": values}
    if type(value) is list:
        return [_plain(part, arrays) for part in value]
    if type(value) is tuple:
        return {"tuple": [_plain(part, arrays) for part in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _plain(part, arrays) for key, part in value.items()}}
    raise TypeError(f"{value!r:.80} is not plain data")


def _rebuilt(node: Any, parts: Parts) -> Any:
    if isinstance(node, list):
        return [_rebuilt(part, parts) for part in node]
    if not isinstance(node, dict):
        return node
    match node:
        case {"array": number, "dtype": dtype, "shape": shape}:
            return _array(parts[number - 1], dtype, shape)
        case {"tensor": number, "dtype": dtype, "shape": shape}:
            return _tensor(parts[number - 1], dtype, shape)
        case {"record": name, "fields": values}:
            return _RECORDS[name](*(_rebuilt(part, parts) for part in values))
        case {"tuple": values}:
            return tuple(_rebuilt(part, parts) for part in values)
        case {"dict": values}:
            return {key: _rebuilt(part, parts) for key, part in values.items()}
    raise MalformedError(f"unknown node {sorted(node)}")


def _array(part: memoryview, dtype: Any, shape: Any) -> np.ndarray:
    kind = np.dtype(str(dtype))
    if kind.kind not in _KINDS:
        raise MalformedError(f"an array of {kind}")
    _check_size(part, kind.itemsize, shape)
    return np.frombuffer(part, kind).reshape(shape)


def _tensor(part: memoryview, dtype: Any, shape: Any) -> Any:
    import torch

    is_known = dtype in _TORCH_ALONE or np.dtype(str(dtype)).kind in _KINDS
    kind = getattr(torch, str(dtype)) if is_known else None
    if not isinstance(kind, torch.dtype):
        raise MalformedError(f"a tensor of {dtype}")
    _check_size(part, kind.itemsize, shape)
    if not part.nbytes:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(part, dtype=kind).reshape(shape)


def _check_size(part: memoryview, itemsize: int, shape: Any) -> None:
    """Raise MalformedError unless a shape is valid and matches the size of the data exactly."""
    if not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 32:
        raise MalformedError(f"shape {shape}")
    if math.prod(shape) * itemsize != part.nbytes:
        raise MalformedError(f"{part.nbytes} bytes for shape {shape}")


def _error(header: dict[str, Any]) -> Exception:
    error_class, args = _error_class(header["error"]), header["args"]
    if error_class is None or not all(isinstance(arg, str | int) for arg in args):
        raise MalformedError(f"error {header['error']}")
    return error_class(*args)


def _error_class(name: str) -> type[Exception] | None:
    """Return an error class of mmtx that concerns files, or a built-in one; None if neither."""
    for error_class in _MMTX_ERRORS:
        if error_class.__name__ == name:
            return error_class
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
