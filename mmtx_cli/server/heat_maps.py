"""Heat maps of words in an answer: small enough to be sent, and what the page draws them over."""

import io
from base64 import b64encode
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from mmtx_cli.data.dataset import Example
from mmtx_cli.explanation.explain import Explanation

QUALITY = 80


def encoded(explanation: Explanation, example: Example) -> dict[str, Any]:
    """Return ``maps`` of an explanation, and for videos the ``frames`` that the model has read.

    A map has its ``shape`` (words first), its ``values`` as bytes in Base64, of each word relative
    to its largest, and the ``shares`` of the modality in each word.

    Args:
        explanation: Of a text.
        example: The input.
    """
    found: dict[str, Any] = {"maps": {n: packed(x) for n, x in explanation.maps.items()}}
    if "video" in explanation.maps:
        frames = example.inputs["video"].permute(0, 2, 3, 1).numpy()
        found["frames"] = [data_url(frame) for frame in frames]
    return found


def packed(maps: Tensor) -> dict[str, Any]:
    """Return the maps of a modality."""
    flat = maps.flatten(1).float()
    most = flat.amax(dim=1, keepdim=True).clamp(min=1e-12)
    values = (flat / most * 255).round().byte().numpy()
    return {
        "shape": list(maps.shape),
        "values": b64encode(values.tobytes()).decode("ascii"),
        "shares": [round(float(share), 4) for share in flat.sum(dim=1)],
    }


def data_url(frame: np.ndarray) -> str:
    """Return a picture as a data URL."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode('ascii')}"
