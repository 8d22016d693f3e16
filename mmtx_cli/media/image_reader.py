"""Read images within time and memory limits: cheap ones in this process, others in a child."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mmtx_cli.config.data_settings import MAX_IMAGE_PIXELS
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image import FORMATS, SMALL_BYTES, decode_image, decode_small
from mmtx_cli.media.regular_file import open_regular, size_of
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder

ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
"""Formats whose further frames form an animation, not pages."""


def read_picture(
    guard: IsolatedDecoder, path: str, size: int | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image as ``decode_image`` does, within the time and memory limits of ``guard``.

    Images with a small maximum cost, which nearly all have, are decoded in this process, which
    avoids sending their pixels through a pipe.

    Args:
        guard: Decoder process for all other images.
        path: Image file.
        size: Minimum length of the shorter side when a JPEG is scaled down; None not to scale.
        max_pixels: Largest number of pixels that is decoded.

    Raises:
        UnreadableError: as ``decode_image`` does, and as ``IsolatedDecoder.run`` does.
    """
    pixels = None if guard.always else decode_small(path, size, max_pixels)
    if pixels is None:
        pixels = guard.run(decode_image, path, size, max_pixels)
    return pixels


def picture_kind(guard: IsolatedDecoder, path: str) -> str | None:
    """Return "still" or "animation" by content, not by name; None if the file is not an image."""
    try:
        with open_regular(path) as file:
            cheap = size_of(file) <= min(SMALL_BYTES.values())
        return _kind(path) if cheap and not guard.always else guard.run(_kind, path)
    except UnreadableError:  # reported by the decoder
        return None


def _kind(path: str) -> str | None:
    try:
        with open_regular(path) as file, Image.open(file, formats=FORMATS) as picture:
            # n_frames would read the whole GIF
            animated = picture.format in ANIMATED and getattr(picture, "is_animated", False)
            return "animation" if animated else "still"
    except Image.DecompressionBombError:  # reported by the decoder
        return "still"
    except Exception:  # not an image; the other decoders report what is wrong
        return None
