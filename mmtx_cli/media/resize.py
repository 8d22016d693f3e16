"""Antialiased bilinear resizing of 8-bit images with NumPy.

The algorithm is Pillow's, with weights of 16 bits as in torch
(``aten/src/ATen/native/cpu/UpSampleKernel.cpp``): integers only, so that the result is that of
``torch.nn.functional.interpolate`` to the last bit.
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from mmtx_cli.media.geometry import excess, padding, scaled_sides

MAX_PRECISION = 22
"""Bits of the fraction of a weight, at most."""
WEIGHT_LIMIT = 1 << 15
WHOLE = slice(None)


def fit_pixels(
    pixels: UInt8[np.ndarray, "h w 3"], size: int, how: str
) -> UInt8[np.ndarray, "3 {size} {size}"]:
    """Resize an image to a square, with the same result as ``media/transform.py``."""
    height, width = pixels.shape[:2]
    inner = scaled_sides(height, width, size, how)
    if how == "pad":
        top, left = (padding(side, size) for side in inner)
        padded = np.zeros((3, size, size), dtype=np.uint8)
        resized = resize_pixels(pixels, *inner).transpose(2, 0, 1)
        padded[:, top : top + inner[0], left : left + inner[1]] = resized
        return padded
    rows, columns = (slice(excess(side, size), excess(side, size) + size) for side in inner)
    return np.ascontiguousarray(resize_pixels(pixels, *inner, rows, columns).transpose(2, 0, 1))


def resize_pixels(
    pixels: UInt8[np.ndarray, "h w c"],
    height: int,
    width: int,
    rows: slice = WHOLE,
    columns: slice = WHOLE,
) -> UInt8[np.ndarray, "_ _ c"]:
    """Resize an image, first its rows, then its columns; each pass rounds to 8 bits.

    Args:
        pixels: The image.
        height: Number of rows of the result.
        width: Number of columns.
        rows: The part of the result that is computed.
        columns: Likewise.
    """
    turned = pixels.transpose(1, 0, 2)
    turned = turned[columns] if len(turned) == width else _resized(turned, width, columns)
    pixels = turned.transpose(1, 0, 2)
    return pixels[rows] if len(pixels) == height else _resized(pixels, height, rows)


def _resized(
    pixels: UInt8[np.ndarray, "n m c"], size: int, part: slice
) -> UInt8[np.ndarray, "_ m c"]:
    """Resize the first axis to ``size``, of which a part is returned."""
    first, weights, precision = _weights(len(pixels), size)
    first, weights = first[part], weights[part]
    start, stop = int(first.min()), min(int(first.max()) + weights.shape[1], len(pixels))
    source = pixels[start:stop].astype(np.int32, order="C")
    shape = (len(first), *pixels.shape[1:])
    total = np.full(shape, 1 << (precision - 1), dtype=np.int32)  # rounds to nearest
    product = np.empty_like(total)
    for tap in range(weights.shape[1]):
        np.take(source, first + (tap - start), axis=0, out=product, mode="clip")
        product *= weights[:, tap, None, None]
        total += product
    total >>= precision
    return np.clip(total, 0, 255, out=total).astype(np.uint8)


@lru_cache(maxsize=64)
def _weights(
    source: int, target: int
) -> tuple[Int64[np.ndarray, " n"], Int32[np.ndarray, "n taps"], int]:
    """Return the first source pixel of each target pixel, integer weights from there on, and the
    number of bits of their fraction.
    """
    scale = source / target
    support = max(scale, 1.0)
    center = scale * (np.arange(target) + 0.5)
    first = np.maximum((center - support + 0.5).astype(np.int64), 0)
    count = np.minimum((center + support + 0.5).astype(np.int64), source) - first
    taps = np.arange(math.ceil(support) * 2 + 1)
    distance = (taps + (first - center)[:, None] + 0.5) * (1 / support)
    weights = np.maximum(1 - np.abs(distance), 0) * (taps < count[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    precision, largest = 0, weights.max()
    while precision < MAX_PRECISION and int(0.5 + largest * 2 ** (precision + 1)) < WEIGHT_LIMIT:
        precision += 1
    whole = (weights * 2**precision + 0.5).astype(np.int32)
    used = int((whole != 0).any(axis=0).nonzero()[0].max()) + 1
    return first, whole[:, :used], precision
