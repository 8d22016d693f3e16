"""Pictures within the limits of time and memory: cheap ones here, all others in a process apart."""

import os

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mmtx_cli.config.schema import MAX_IMAGE_PIXELS
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image import FORMATS, SMALL_BYTES, decode_image, decode_small
from mmtx_cli.media.regular_file import open_regular
from mmtx_cli.media.worker.isolated_decoder import Guard

ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
"""Formats whose further frames are moments of a film, not pages."""


def read_picture(
    guard: Guard, path: str, size: int | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture as ``decode_image`` does, within the time and memory of ``guard``.

    One that cannot cost much, as nearly all are, is decoded by this process, which saves sending
    its pixels through a pipe.

    Raises:
        UnreadableError: as ``decode_image`` does, and as ``Guard.run`` does.
    """
    pixels = decode_small(path, size, max_pixels)
    if pixels is None:
        pixels = guard.run(decode_image, path, size, max_pixels)
    return pixels


def picture_kind(guard: Guard, path: str) -> str | None:
    """What the content, not the name, says: "still" or "animation"; None for what is no picture."""
    try:
        with open_regular(path) as file:
            cheap = os.fstat(file.fileno()).st_size <= min(SMALL_BYTES.values())
        return _kind(path) if cheap else guard.run(_kind, path)
    except UnreadableError:  # told by the decoder
        return None


def _kind(path: str) -> str | None:
    try:
        with open_regular(path) as file, Image.open(file, formats=FORMATS) as picture:
            # n_frames would read a GIF to its end
            animated = picture.format in ANIMATED and getattr(picture, "is_animated", False)
            return "animation" if animated else "still"
    except Image.DecompressionBombError:  # told by the decoder
        return "still"
    except Exception:  # whatever it is, no picture: the other decoders say what is wrong with it
        return None
