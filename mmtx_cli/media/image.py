"""Decode image files of all common formats and color modes to 8-bit RGB."""

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from mmtx_cli.config.data_settings import MAX_IMAGE_PIXELS
from mmtx_cli.media.errors import OUT_OF_MEMORY, UnreadableError
from mmtx_cli.media.jpeg import JPEG_START, StrictJpeg, plain_jpeg, scan_bound
from mmtx_cli.media.regular_file import open_regular, size_of
from mmtx_cli.media.rgb import rgb_pixels

__all__ = [
    "FORMATS",
    "UnreadableError",
    "decode_image",
    "decode_small",
    "image_size",
    "upright_pixels",
]

# common image formats only: each further parser enlarges the attack surface
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
# the EXIF orientation tag, and the transposition that brings each of its values upright
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
"""Largest images decoded without a child process (pixels, and file bytes by format): within these
limits no content costs more than about 300 MB and two seconds. Pillow copies GIF comments in
quadratic time; TIFF and AVIF are missing because nothing bounds the sizes that they declare."""
SMALL_SCANS, MAX_SCANS = 32, 500
"""Maximum number of scans of a JPEG, without a child process and in total: each may cost as much
as a whole image. Encoders write about ten; libjpeg-turbo's fuzz tests reject more than 500."""
_MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp"}
# Pillow warns at half of the size that it rejects; the error is enough
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# such as "Corrupt EXIF data": either the pixels are intact or an error follows
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def decode_image(
    path: str | os.PathLike[str], size: int | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image file to upright 8-bit RGB on a white background.

    The format is detected by content, not by name; of an animation, the first frame is decoded.
    With ``size``, a JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 at which its
    shorter side has at least ``size`` pixels (Pillow's ``draft``); there is no other resizing.

    Decoding takes at most 8 bytes per pixel (16 for WEBP and AVIF, whose libraries keep copies).

    Raises:
        UnreadableError: with a one-line reason, if the file is missing, empty, damaged or not an
            image, or has more than ``max_pixels`` pixels or 500 scans.
    """
    path = os.fspath(path)
    try:
        with open_regular(path) as file:
            is_jpeg = file.read(3) == JPEG_START
            file.seek(0)
            # other formats are read only as far as needed: a file may be larger than memory
            return _decoded(path, file.read() if is_jpeg else file, size, max_pixels)
    except UnreadableError:
        raise
    except Exception as error:  # parsers may raise anything on hostile data; none may stop a run
        raise UnreadableError(path, _reason(error)) from error


def decode_small(
    path: str | os.PathLike[str], size: int | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> UInt8[np.ndarray, "h w 3"] | None:
    """Decode an image as ``decode_image`` does, if its size and format bound the cost.

    Returns None if it is too large, has too many scans, or has a format whose file size does not
    bound the cost; such an image must be decoded in a process that can be killed.

    Raises:
        UnreadableError: as ``decode_image`` does.
    """
    path = os.fspath(path)
    try:
        with open_regular(path) as file:
            max_bytes = SMALL_BYTES.get(_format(file.read(12)), 0)
            if size_of(file) > max_bytes:
                return None
            file.seek(0)
            data = file.read()
        is_jpeg = data.startswith(JPEG_START)
        if is_jpeg and SMALL_SCANS < scan_bound(data) <= MAX_SCANS:
            return None
        try:
            small_limit = min(max_pixels, SMALL_PIXELS)
            return _decoded(path, data if is_jpeg else io.BytesIO(data), size, small_limit)
        except Image.DecompressionBombError:
            if max_pixels <= SMALL_PIXELS:
                raise
            return None
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(path, _reason(error)) from error


def image_size(path: str) -> tuple[int, int]:
    """Return the width and height in an image's header, before any rotation by EXIF."""
    with open_regular(path) as file, Image.open(file, formats=FORMATS) as image:
        return image.size


def _format(start: bytes) -> str:
    """Return the image format by the first bytes of a file; "" if not one of ``SMALL_BYTES``."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")


def _decoded(
    path: str, source: bytes | io.BufferedIOBase, size: int | None, max_pixels: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a JPEG given as bytes, or an open file of any other format."""
    with _pixel_limit(max_pixels):
        if not isinstance(source, bytes):
            return _by_pillow(path, source, size)
        scans = scan_bound(source)
        if scans > MAX_SCANS:
            raise UnreadableError(
                path, f"a JPEG with {scans:,} scans; at most {MAX_SCANS} are supported: convert it"
            )
        pixels = plain_jpeg(source, size)
        return _by_pillow(path, StrictJpeg(source), size) if pixels is None else pixels


@contextmanager
def _pixel_limit(pixels: int) -> Iterator[None]:
    """Limit the pixels of each decoded frame; Pillow rejects more than twice its setting."""
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
        raise UnreadableError(path, "damaged: extra data after the end of the image")
    image = _upright(image)  # frees the image as stored
    return rgb_pixels(image)


def upright_pixels(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels of an image that is loaded, upright by its EXIF data, as 8-bit RGB."""
    return rgb_pixels(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        transposition = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data does not mean damaged pixels
        return image
    return image if transposition is None else image.transpose(transposition)


def _reason(error: Exception) -> str:
    match error:
        case Image.DecompressionBombError():
            numbers = re.findall(r"(\d+)[.0]* pixels", str(error))
            pixels, limit = (f"{int(number):,}" for number in numbers)
            return (
                f"too large: {pixels} pixels, at most {limit} are allowed; for a trusted image, "
                "raise data.max_image_pixels (for mmtx data action=check: max_image_pixels)"
            )
        case UnidentifiedImageError():
            return f"not an image of a known format ({', '.join(FORMATS)}); convert it"
        case MemoryError():
            return OUT_OF_MEMORY
    message = str(error).partition(" (")[0] or type(error).__name__
    return f"damaged: {message}"
