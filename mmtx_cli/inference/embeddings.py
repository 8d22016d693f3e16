"""Embeddings of inputs as arrays, one row a line of ``predictions.jsonl``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.io.atomic import own_folder, replaced

FOLDER = "embeddings"


def stream_arrays(outputs: Sequence[Mapping[str, Tensor]]) -> dict[str, Float[np.ndarray, "n d"]]:
    """The mean token of each stream, by name, of what ``StreamHead`` said of each sample."""
    names = [key for key in outputs[0] if not key.endswith("_present")]
    return {name: array(outputs, name) for name in names}


def head_arrays(
    name: str, head: Any, outputs: Sequence[Mapping[str, Tensor]], there: Sequence[bool]
) -> dict[str, Float[np.ndarray, "n d"]]:
    """The embeddings that a head makes, by HEAD or HEAD.STREAM; ``there``: where it can."""
    return {
        name if len(head.embedded) == 1 else f"{name}.{key}": array(outputs, key, there)
        for key in head.embedded
    }


def array(
    outputs: Sequence[Mapping[str, Tensor]], key: str, there: Sequence[bool] | None = None
) -> Float[np.ndarray, "n d"]:
    """One output of all samples; NaN of those that lack what it is made of.

    They say so themselves (``KEY_present``), or ``there`` does.
    """
    present = f"{key}_present"
    found = np.full((len(outputs), len(outputs[0][key])), np.nan, dtype=np.float32)
    for i, output in enumerate(outputs):
        if bool(output[present]) if present in output else there is None or there[i]:
            found[i] = output[key].float().numpy()
    return found


def write_embeddings(run_dir: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Write ``embeddings/NAME.npy`` of each, if there are any; return their shapes."""
    folder = run_dir / FOLDER
    if arrays:
        own_folder(folder)
    for name, own in arrays.items():
        with replaced(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, own)
    return {name: list(own.shape) for name, own in arrays.items()}
