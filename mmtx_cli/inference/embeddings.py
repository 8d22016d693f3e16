"""Embeddings of inputs as arrays, with rows in the order of ``predictions.jsonl``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.io.atomic import own_folder, replaced

FOLDER = "embeddings"


def stream_arrays(outputs: Sequence[Mapping[str, Tensor]]) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return the mean token of each stream by stream name, from the outputs of ``StreamHead``."""
    names = [key for key in outputs[0] if not key.endswith("_present")]
    return {name: array(outputs, name) for name in names}


def head_arrays(
    name: str, head: Any, outputs: Sequence[Mapping[str, Tensor]], there: Sequence[bool]
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return the embeddings of a head, named HEAD or, if it has several, HEAD.STREAM.

    Args:
        name: Name of the head.
        head: The head.
        outputs: Its outputs for each sample.
        there: Whether each sample has the modalities that the head needs.
    """
    return {
        name if len(head.embedding_outputs) == 1 else f"{name}.{key}": array(outputs, key, there)
        for key in head.embedding_outputs
    }


def array(
    outputs: Sequence[Mapping[str, Tensor]], key: str, there: Sequence[bool] | None = None
) -> Float[np.ndarray, "n d"]:
    """Return one output of all samples, with NaN rows for samples without the modalities it needs.

    Presence is read from the output ``KEY_present`` if there is one, else from ``there``.
    """
    present = f"{key}_present"
    found = np.full((len(outputs), len(outputs[0][key])), np.nan, dtype=np.float32)
    for i, output in enumerate(outputs):
        if bool(output[present]) if present in output else there is None or there[i]:
            found[i] = output[key].float().numpy()
    return found


def write_embeddings(run_dir: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Write each array to ``embeddings/NAME.npy`` and return their shapes."""
    folder = run_dir / FOLDER
    if arrays:
        own_folder(folder)
    for name, own in arrays.items():
        with replaced(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, own)
    return {name: list(own.shape) for name, own in arrays.items()}
