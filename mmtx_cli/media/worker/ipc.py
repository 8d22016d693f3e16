"""Messages through the pipes between two processes: sizes, a header, and raw arrays.

Only requests are pickled, since they come from the process that the user started. Answers are not
pickled (``serialization.py``).
"""

import io
import pickle
import struct
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Parts = list[memoryview]
_NUMPY_LACKS = ("bfloat16", "float8", "float4", "complex32", "quint", "qint")


class OversizedError(ValueError):
    """A message has more or larger parts than its reader accepts."""


def framed(parts: Sequence[memoryview]) -> Parts:
    """Prepend the number of parts and their sizes."""
    sizes = struct.pack(f"<{1 + len(parts)}Q", len(parts), *(part.nbytes for part in parts))
    return [memoryview(sizes), *parts]


def pack_request(value: object) -> Parts:
    """Pickle with protocol 5; return the sizes, the pickle, then each array's memory, uncopied."""
    arrays: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=arrays.append).dump(value)
    return framed([stream.getbuffer(), *(array.raw() for array in arrays)])


def unpack_request(message: Parts) -> Any:
    """Unpickle a message without its sizes; the received arrays are writable."""
    # sent by the parent process through its own pipe
    return pickle.loads(message[0], buffers=message[1:])  # nosec B301


def receive(
    fill: Callable[[memoryview], None],
    header: int | None = None,
    count: int | None = None,
    size: int | None = None,
) -> Parts:
    """Read one message.

    Args:
        fill: Fills a memory view with the next bytes, or raises EOFError.
        header: Maximum size of the first part in bytes.
        count: Maximum number of parts.
        size: Maximum size of all parts together in bytes.

    Raises:
        OversizedError: if a maximum is exceeded, before memory is allocated.
    """
    (num_parts,) = struct.unpack("<Q", _filled(8, fill))
    if not num_parts or (count is not None and num_parts > count):
        raise OversizedError(f"{num_parts} parts")
    sizes = struct.unpack(f"<{num_parts}Q", _filled(8 * num_parts, fill))
    if (header is not None and sizes[0] > header) or (size is not None and sum(sizes) > size):
        raise OversizedError(f"{sum(sizes)} bytes")
    return [_filled(part_size, fill) for part_size in sizes]


def write(file: BinaryIO, parts: Parts) -> None:
    """Write a message to an unbuffered file."""
    for part in parts:
        while part:
            part = part[file.write(part) :]


def fill_from(file: io.FileIO, view: memoryview) -> None:
    """Fill ``view`` from an unbuffered file; raise EOFError at its end."""
    while view:
        count = file.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]


def _filled(size: int, fill: Callable[[memoryview], None]) -> memoryview:
    memory = np.empty(size, np.uint8).data  # bytearray() would fill it with zeros first
    fill(memory)
    return memory


class _Pickler(pickle.Pickler):
    """Pickler that sends tensors as arrays; torch's own reducer copies them into the pickle."""

    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")  # without it there are no tensors
        if torch is None or type(value) is not torch.Tensor or value.requires_grad:
            return NotImplemented
        plain = value.device.type == "cpu" and value.layout is torch.strided
        if not plain or str(value.dtype).removeprefix("torch.").startswith(_NUMPY_LACKS):
            return NotImplemented
        return _tensor, (value.resolve_conj().resolve_neg().numpy(),)


def _tensor(array: np.ndarray) -> "Tensor":
    import torch

    return torch.from_numpy(array)
