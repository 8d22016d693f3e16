"""Read untrusted safetensors files with a limited header and verified tensors."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.jsonl import parsed_json
from mmtx_cli.io.untrusted.bounded_file import MAX_CONFIG_BYTES, RefusedFileError, check_regular
from mmtx_cli.io.untrusted.checksums import check_tensors

if TYPE_CHECKING:
    from torch import Tensor

METADATA = "__metadata__"
"""Entry of a header that is no tensor; absent in files without checksums, of early versions."""


def read_safetensors(path: Path) -> "dict[str, Tensor]":
    """Read all tensors of a file and check them against its checksums, if any.

    Raises:
        CheckpointError: if the file cannot be read or is damaged.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        check_header(path)
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    check_tensors(path, tensors, metadata)
    return tensors


def read_header(path: Path) -> dict[str, Any]:
    """Return a file's entries by tensor name, without torch; nothing if it cannot be read."""
    try:
        check_header(path)
        with open(path, "rb") as file:
            header = parsed_json(file.read(int.from_bytes(file.read(8), "little")).decode())
    except (OSError, ValueError, RecursionError):
        return {}  # reported when the weights are read
    return header if isinstance(header, dict) else {}


def check_header(path: Path) -> None:
    """Check the size of a file's header before a library reads it.

    Raises:
        RefusedFileError: if the header is too large, or the file is not a regular file.
    """
    check_regular(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_CONFIG_BYTES:
        raise RefusedFileError(f"its header is larger than {MAX_CONFIG_BYTES:,} bytes")
