"""Image files to pixels: every common format and colour mode becomes 8-bit RGB."""

import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from mmtx_cli.data.jpeg import JPEG_START, StrictJpeg, plain_jpeg
from mmtx_cli.data.unreadable import UnreadableError
from mmtx_cli.settings import MAX_IMAGE_PIXELS

__all__ = ["FORMATS", "UnreadableError", "decode_image"]

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

    Raises:
        UnreadableError: with a one-line reason, if the file is missing, empty, damaged, not an
            image, or of more than ``max_pixels`` pixels.
    """
    path = os.fspath(path)
    try:
        data = _content(path)
        with _at_most(max_pixels):
            if data.startswith(JPEG_START):
                pixels = plain_jpeg(data, size)
                if pixels is not None:
                    return pixels
            return _by_pillow(path, data, size)
    except UnreadableError:
        raise
    except Exception as error:  # parsers of hostile bytes raise anything; none may stop a run
        raise UnreadableError(path, _reason(error)) from error


@contextmanager
def _at_most(pixels: int) -> Iterator[None]:
    """Set Pillow's own limit, which holds for every frame of a file; it refuses twice of it."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = pixels / 2  # type: ignore[assignment]
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _content(path: str) -> bytes:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(path, "not a regular file")
    if status.st_size == 0:
        raise UnreadableError(path, "empty file")
    with open(path, "rb") as file:
        return file.read()


def _by_pillow(path: str, data: bytes, size: int | None) -> UInt8[np.ndarray, "h w 3"]:
    file = StrictJpeg(data) if data.startswith(JPEG_START) else io.BytesIO(data)
    with Image.open(file, formats=FORMATS) as image:
        if size is not None:
            image.draft(None, (size, size))  # type: ignore[arg-type]
        image.load()
        if isinstance(file, StrictJpeg) and file.has_excess:
            raise UnreadableError(path, "damaged: the picture ends before its data")
        return np.array(_rgb(_upright(image)))


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data say nothing about the pixels
        return image
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(pixels: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """Scale to 0 … 255: 16-bit integers by their range, others by their largest value."""
    values = np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0)
    largest = float(values.max(initial=0.0))
    if pixels.dtype == np.uint16 or (pixels.dtype.kind in "iu" and 255 < largest <= 65535):
        largest = 65535.0
    elif pixels.dtype.kind in "iu":
        largest = max(largest, 255.0)
    elif largest <= 1.0:
        largest = 1.0
    return np.clip(np.rint(values * (255.0 / largest)), 0, 255).astype(np.uint8)


def _reason(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "no such file"
        case PermissionError():
            return "permission denied"
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
            return "too large for this machine's memory"
    words = str(error).partition(" (")[0] or type(error).__name__
    return f"damaged: {words}"
