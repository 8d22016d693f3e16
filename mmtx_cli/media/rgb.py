"""Convert Pillow images of any mode to 8-bit RGB, in strips to save memory."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

STRIP = 1 << 20
"""Pixels converted at a time."""


def rgb_pixels(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Convert a loaded image to RGB on a white background.

    Values of more than 8 bits are scaled to 0 … 255: 16-bit integers by their range, others by the
    image's largest value (at least 255 for integers, 1 for floats). Besides the image and the
    result, only one strip is in memory.
    """
    convert = _scaled(image) if image.mode == "F" or image.mode.startswith("I") else _opaque
    width, height = image.size
    if width * height <= STRIP:
        return np.array(convert(image))
    pixels = np.empty((height, width, 3), np.uint8)
    for top, strip in _strips(image):
        pixels[top : top + strip.height] = np.asarray(convert(strip))
    return pixels


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield strips of whole rows, each with the index of its first row."""
    width, height = image.size
    rows = max(1, STRIP // max(1, width))
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(height, top + rows)))


def _opaque(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _scaled(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return a conversion that scales by the value range of the whole image."""
    largest, kind = 0.0, np.dtype(np.uint8)
    for _, strip in _strips(image):
        values = np.asarray(strip)
        largest, kind = max(largest, float(_finite(values).max(initial=0.0))), values.dtype
    if kind == np.uint16 or (kind.kind in "iu" and 255 < largest <= 65535):
        largest = 65535.0
    elif kind.kind in "iu":
        largest = max(largest, 255.0)
    elif largest <= 1.0:
        largest = 1.0

    def convert(part: Image.Image) -> Image.Image:
        values = np.rint(_finite(np.asarray(part)) * (255.0 / largest))
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")

    return convert


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
