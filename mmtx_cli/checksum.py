"""Checksums of files that hold weights: a bit that flipped on a disk is found on reading."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmtx_cli.error import CheckpointError
from mmtx_cli.json_line import parsed_json

if TYPE_CHECKING:
    from torch import Tensor

KEY = "crc32"
"""Where the metadata of a safetensors file has the checksums of its tensors."""


def damaged_entry(path: Path) -> str | None:
    """Return the first entry of a .ckpt that differs from its CRC, which torch does not check.

    Raises:
        zipfile.BadZipFile, OSError and others: if it is no zip archive.
    """
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def checksums(tensors: "Mapping[str, Tensor]") -> dict[str, str]:
    """Return metadata for safetensors: the CRC of each tensor's bytes, by name."""
    return {KEY: json.dumps({name: crc(tensor) for name, tensor in sorted(tensors.items())})}


def check_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> None:
    """Hold tensors against the checksums in the metadata, where there are any.

    Raises:
        CheckpointError: if one differs, is missing, or was not saved.
    """
    if KEY not in metadata:
        return
    try:
        saved = dict(parsed_json(metadata[KEY]))
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: its checksums cannot be read") from error
    odd = [n for n in sorted({*saved, *tensors}) if saved.get(n) != found(tensors, n)]
    if odd:
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise CheckpointError(
            f"{path}: damaged: {odd[0]}{more} is not what was saved; take the run's checkpoints "
            "or a copy of the model folder"
        )


def found(tensors: "Mapping[str, Tensor]", name: str) -> int | None:
    """The CRC of a tensor; None for one that is not there."""
    return crc(tensors[name]) if name in tensors else None


def crc(tensor: "Tensor") -> int:
    """The CRC-32 of a tensor's bytes."""
    import torch

    data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return zlib.crc32(data.numpy())  # type: ignore[arg-type]
