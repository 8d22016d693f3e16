"""Inputs of the Python API: paths of media files, and pictures in memory."""

import os
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from mmtx_cli.data.input_files import Picture
from mmtx_cli.data.pieces import Piece, all_pieces
from mmtx_cli.errors import DataError
from mmtx_cli.media.image import upright_pixels
from mmtx_cli.media.rgb import rgb_pixels
from mmtx_cli.media.worker.limits import DecodeLimits

Input = str | os.PathLike[str] | Image.Image | np.ndarray
"""A file with an image, video or audio, or a picture in memory: a PIL image, or bytes [h, w],
[h, w, 3] or [h, w, 4] (gray, RGB, RGBA)."""


def as_pieces(
    inputs: Input | Iterable[Input], limits: DecodeLimits, segment_seconds: float | None = None
) -> list[Piece | Picture]:
    """Return the inputs in the form that they are read in.

    Args:
        inputs: The inputs, or a single one.
        limits: Decoding limits for each file.
        segment_seconds: Length of the segments in which videos are read (None: as a whole).

    Raises:
        DataError: naming all inputs that are neither files nor pictures, or if there is none.
    """
    is_single = isinstance(inputs, str | os.PathLike | Image.Image | np.ndarray)
    given: list[Input] = [inputs] if is_single else list(inputs)  # type: ignore[list-item,arg-type]
    if not given:
        raise DataError("inputs: empty; pass at least one file or picture")
    pieces: list[Piece | Picture] = []
    faults = []
    for i, each in enumerate(given):
        if isinstance(each, str | os.PathLike):
            pieces.append(Piece(os.fspath(each)))
            continue
        try:
            pieces.append(Picture(pixels_of(each, limits.pixels), f"inputs[{i}]"))
        except (TypeError, ValueError, OSError) as error:  # PIL reads a file when it is needed
            faults.append(f"inputs[{i}]: {error}")
    if faults:
        raise DataError(*faults)
    return in_segments(pieces, segment_seconds, limits)


def in_segments(
    pieces: Sequence[Piece | Picture], seconds: float | None, limits: DecodeLimits
) -> list[Piece | Picture]:
    """Return the pieces with each video in segments of ``seconds``, if they are set."""
    if seconds is None:
        return [*pieces]
    found: list[Piece | Picture] = []
    for piece in pieces:
        if isinstance(piece, Piece):
            found += all_pieces([piece.path], seconds, limits)
        else:
            found.append(piece)
    return found


def pixels_of(picture: Image.Image | np.ndarray, most: int) -> np.ndarray:
    """Return a picture as 8-bit RGB [h, w, 3].

    Raises:
        TypeError: if it is no picture.
        ValueError: if it has no pixel, or more than ``most``.
    """
    if isinstance(picture, Image.Image):
        check_pixels(*picture.size, most)
        picture.load()
        return upright_pixels(picture)
    if not isinstance(picture, np.ndarray):
        kind = type(picture).__name__
        raise TypeError(f"of type {kind}; must be a path, a PIL image or an array of a picture")
    is_picture = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))
    if picture.dtype != np.uint8 or not is_picture:
        raise TypeError(
            f"an array of {picture.dtype} of shape {list(picture.shape)}; must be uint8 [h, w], "
            "[h, w, 3] or [h, w, 4]; for a video, pass the path of a file"
        )
    check_pixels(picture.shape[1], picture.shape[0], most)
    return rgb_pixels(Image.fromarray(picture))


def check_pixels(width: int, height: int, most: int) -> None:
    """Raise ValueError unless a picture has at least one and at most ``most`` pixels."""
    if not 0 < width * height <= most:
        raise ValueError(
            f"{width} x {height} pixels; must be 1 to {most:,} (data.max_image_pixels)"
        )
