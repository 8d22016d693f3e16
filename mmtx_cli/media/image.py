"""Image files to pixels: every common format and colour mode becomes 8-bit RGB."""

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from mmtx_cli.config.schema import MAX_IMAGE_PIXELS
from mmtx_cli.media.errors import OUT_OF_MEMORY, UnreadableError
from mmtx_cli.media.jpeg import JPEG_START, StrictJpeg, plain_jpeg, scan_bound
from mmtx_cli.media.regular_file import open_regular
from mmtx_cli.media.rgb import rgb_pixels

__all__ = ["FORMATS", "UnreadableError", "decode_image", "decode_small", "image_size"]

# only what photographs and drawings come in: every further parser is a door for a hostile file
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
# the EXIF tag 0x0112 and what brings each of its values upright
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SMALL_PIXELS = 1 << 24
SMALL_BYTES = {"jpeg": 32 << 20, "png": 16 << 20, "webp": 16 << 20, "bmp": 64 << 20, "gif": 1 << 20}
"""What is decoded without a process of its own: within these sizes (pixels; bytes of a file by
format) no content costs more than about 300 MB and two seconds. Of a GIF, Pillow copies comments
in quadratic time; TIFF and AVIF have sizes of their own inside, which nothing bounds."""
SMALL_SCANS, MAX_SCANS = 32, 500
"""Scans of a JPEG: each may cost as much as a whole picture. Encoders write about ten; where
libjpeg-turbo is tested with hostile files, it refuses more than 500."""
_MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp"}
# Pillow warns at half of its limit and refuses beyond it: the limit is enough
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# "Corrupt EXIF data" and the like: the pixels are sound, or an error follows
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def decode_image(
    path: str | os.PathLike[str], size: int | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image file to upright 8-bit RGB; what is transparent becomes white.

    The content decides the format, not the name; of an animation the first frame is taken. With
    ``size``, a JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 whose shorter
    side still has ``size`` pixels (Pillow's ``draft``); no other resizing happens.

    A pixel takes at most 8 bytes (of WEBP and AVIF, whose libraries keep copies, 16).

    Raises:
        UnreadableError: with a one-line reason, if the file is missing, empty, damaged, not an
            image, or of more than ``max_pixels`` pixels, or of more than 500 scans.
    """
    path = os.fspath(path)
    try:
        with open_regular(path) as file:
            is_jpeg = file.read(3) == JPEG_START
            file.seek(0)
            # of other formats, what is not needed is not read: a file may be larger than memory
            return _decoded(path, file.read() if is_jpeg else file, size, max_pixels)
    except UnreadableError:
        raise
    except Exception as error:  # parsers of hostile bytes raise anything; none may stop a run
        raise UnreadableError(path, _reason(error)) from error


def decode_small(
    path: str | os.PathLike[str], size: int | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> UInt8[np.ndarray, "h w 3"] | None:
    """Decode a picture as ``decode_image`` does, if whatever it holds costs little.

    None for one that may cost more: too large, of too many scans, or of a format whose cost its
    size does not bound. It belongs in a process that can be ended.

    Raises:
        UnreadableError: as ``decode_image`` does.
    """
    path = os.fspath(path)
    try:
        with open_regular(path) as file:
            most = SMALL_BYTES.get(_format(file.read(12)), 0)
            if os.fstat(file.fileno()).st_size > most:
                return None
            file.seek(0)
            data = file.read()
        is_jpeg = data.startswith(JPEG_START)
        if is_jpeg and SMALL_SCANS < scan_bound(data) <= MAX_SCANS:
            return None
        try:
            few = min(max_pixels, SMALL_PIXELS)
            return _decoded(path, data if is_jpeg else io.BytesIO(data), size, few)
        except Image.DecompressionBombError:
            if max_pixels <= SMALL_PIXELS:
                raise
            return None
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(path, _reason(error)) from error


def image_size(path: str) -> tuple[int, int]:
    """Width and height by a picture's header, as they are stored."""
    with open_regular(path) as file, Image.open(file, formats=FORMATS) as image:
        return image.size


def _format(start: bytes) -> str:
    """The format by a file's first bytes; empty for one that has no bound in ``SMALL_BYTES``."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")


def _decoded(
    path: str, source: bytes | io.BufferedIOBase, size: int | None, max_pixels: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode the bytes of a JPEG, or an open file of any other format."""
    with _at_most(max_pixels):
        if not isinstance(source, bytes):
            return _by_pillow(path, source, size)
        scans = scan_bound(source)
        if scans > MAX_SCANS:
            raise UnreadableError(
                path, f"a JPEG of {scans:,} scans; at most {MAX_SCANS} are decoded: convert it"
            )
        pixels = plain_jpeg(source, size)
        return _by_pillow(path, StrictJpeg(source), size) if pixels is None else pixels


@contextmanager
def _at_most(pixels: int) -> Iterator[None]:
    """Set Pillow's own limit, which holds for every frame of a file; it refuses twice of it."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = pixels / 2  # type: ignore[assignment]
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _by_pillow(path: str, file: io.BufferedIOBase, size: int | None) -> UInt8[np.ndarray, "h w 3"]:
    image: Image.Image = Image.open(file, formats=FORMATS)  # type: ignore[arg-type]
    if size is not None:
        image.draft(None, (size, size))  # type: ignore[arg-type]
    image.load()
    if isinstance(file, StrictJpeg) and file.has_excess:
        raise UnreadableError(path, "damaged: the picture ends before its data")
    image = _upright(image)  # the picture as it is stored is let go of
    return rgb_pixels(image)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data say nothing about the pixels
        return image
    return image if turn is None else image.transpose(turn)


def _reason(error: Exception) -> str:
    match error:
        case Image.DecompressionBombError():
            numbers = re.findall(r"(\d+)[.0]* pixels", str(error))
            pixels, most = (f"{int(number):,}" for number in numbers)
            return (
                f"too large: {pixels} pixels, of at most {most}; for a picture that you trust, "
                "raise data.max_image_pixels (of mmtx data action=check: max_image_pixels)"
            )
        case UnidentifiedImageError():
            return f"not an image of a known format ({', '.join(FORMATS)}); convert it"
        case MemoryError():
            return OUT_OF_MEMORY
    words = str(error).partition(" (")[0] or type(error).__name__
    return f"damaged: {words}"
