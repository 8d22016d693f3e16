"""Checksums of weights, to detect files that were damaged on disk."""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.jsonl import parsed_json
from mmtx_cli.io.untrusted.tensor_checks import not_finite

if TYPE_CHECKING:
    from torch import Tensor

KEY = "crc32"
"""Key of the checksums in the metadata of a safetensors file."""


def damaged_entry(path: Path) -> str | None:
    """Return the first entry of a .ckpt that does not match its CRC, which torch does not check.

    Raises:
        zipfile.BadZipFile, OSError and others: if it is not a zip archive.
    """
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def checksums(tensors: "Mapping[str, Tensor]") -> dict[str, str]:
    """Return safetensors metadata with the CRC of each tensor's bytes by name."""
    return {KEY: json.dumps({name: crc(tensor) for name, tensor in sorted(tensors.items())})}


def check_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> None:
    """Check tensors against the checksums in the metadata, if any, and for non-finite values.

    Raises:
        CheckpointError: if a tensor differs, is missing, has no checksum, or contains NaN or
            infinities.
    """
    try:
        saved = dict(parsed_json(metadata[KEY])) if KEY in metadata else None
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: its checksums cannot be read") from error
    if saved is not None:
        computed = {name: crc(tensor) for name, tensor in tensors.items()}
        mismatched = [
            name for name in sorted({*saved, *computed}) if saved.get(name) != computed.get(name)
        ]
        if mismatched:
            more = f" and {len(mismatched) - 1} more" if len(mismatched) > 1 else ""
            raise CheckpointError(
                f"{path}: damaged: {mismatched[0]}{more} did not match its checksum; use the run's "
                "checkpoints or another copy of the model folder"
            )
    check_finite_weights(path, not_finite(tensors))


def check_finite_weights(path: Path, names: Sequence[str]) -> None:
    """Raise CheckpointError if there are names of tensors with NaN or infinite values."""
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise CheckpointError(
            f"{path}: {names[0]}{more} contains NaN or infinite values: training diverged, or the "
            "file was changed; use an earlier checkpoint"
        )


def crc(tensor: "Tensor") -> int:
    """Return the CRC-32 of a tensor's bytes."""
    import torch

    data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return zlib.crc32(data.numpy())  # type: ignore[arg-type]
