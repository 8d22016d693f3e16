"""Heat maps drawn over pictures, frames and spectrograms.

Shape letters: h rows, w columns.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

GRAY = 0.75
"""How much of its colors a picture loses under a map."""
OPACITY, EXPONENT = 0.9, 0.7
"""Opacity of the largest value of a map, and how slowly it grows with smaller ones."""
UNREAD = 0.35
"""Brightness of what the model does not read."""

Pixels = UInt8[np.ndarray, "h w 3"]


@cache
def palette() -> Float[np.ndarray, "256 3"]:
    """Return colors from dark to light whose brightness grows evenly, for every color vision."""
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.arange(256))[:, :3] * 255)


def overlay(picture: Pixels, heat: Float[np.ndarray, "h w"], most: float) -> Pixels:
    """Return a picture under its heat map; the more relevant a place, the lighter and opaquer.

    Args:
        picture: The picture.
        heat: The map, of the same size.
        most: The value that gets the lightest color.
    """
    share = np.clip(heat / most, 0, 1) if most > 0 else np.zeros_like(heat)
    base = picture.astype(np.float32)
    gray = base @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    base = GRAY * gray[..., None] + (1 - GRAY) * base
    colors = palette()[np.rint(share * 255).astype(int)]
    opacity = (OPACITY * share**EXPONENT)[..., None]
    return np.rint(base * (1 - opacity) + colors * opacity).astype(np.uint8)


def dimmed(picture: Pixels, read: np.ndarray) -> Pixels:
    """Return a picture that is darker where the model does not read it."""
    return np.where(read[..., None], picture, (picture * UNREAD).astype(np.uint8))


def resized(picture: Pixels, width: int, height: int) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Return a picture in another size."""
    image = Image.fromarray(picture)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
