"""Embeddings of inputs as arrays, with rows in the order of ``predictions.jsonl``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.io.atomic import atomic_write, make_subfolder

FOLDER = "embeddings"


def stream_arrays(outputs: Sequence[Mapping[str, Tensor]]) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return the mean token of each stream by stream name, from the outputs of ``StreamHead``."""
    names = [key for key in outputs[0] if not key.endswith("_present")]
    return {name: array(outputs, name) for name in names}


def head_arrays(
    name: str, head: Any, outputs: Sequence[Mapping[str, Tensor]], available: Sequence[bool]
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return the embeddings of a head, named HEAD or, if it has several, HEAD.STREAM.

    Args:
        name: Name of the head.
        head: The head.
        outputs: Its outputs for each sample.
        available: Whether each sample has the modalities that the head needs.
    """
    return {
        name if len(head.embedding_outputs) == 1 else f"{name}.{key}": array(
            outputs, key, available
        )
        for key in head.embedding_outputs
    }


def array(
    outputs: Sequence[Mapping[str, Tensor]], key: str, available: Sequence[bool] | None = None
) -> Float[np.ndarray, "n d"]:
    """Return one output of all samples, with NaN rows for samples without the modalities it needs.

    Presence is read from the output ``KEY_present`` if there is one, else from ``available``.
    """
    present = f"{key}_present"
    rows = np.full((len(outputs), len(outputs[0][key])), np.nan, dtype=np.float32)
    for i, output in enumerate(outputs):
        if bool(output[present]) if present in output else available is None or available[i]:
            rows[i] = output[key].float().numpy()
    return rows


def write_embeddings(run_dir: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Write each array to ``embeddings/NAME.npy`` and return their shapes."""
    folder = run_dir / FOLDER
    if arrays:
        make_subfolder(folder)
    for name, values in arrays.items():
        with atomic_write(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, values)
    return {name: list(values.shape) for name, values in arrays.items()}
