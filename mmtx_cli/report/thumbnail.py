"""JPEG thumbnails as ``data:`` URIs, so that a page needs no other file."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image_reader import read_picture
from mmtx_cli.media.shard.reference import is_reference
from mmtx_cli.media.suffixes import SUFFIXES
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.report.video_strip import FilmStrips

MAX_SIDE = 320
Shown = tuple[Path, float | None, float | None]
"""A file, and the start and end, in seconds, of the part of a video that is shown."""


@dataclass(frozen=True)
class Thumbnail:
    """An image for ``<img>``, or, with an empty ``uri``, the reason why it is missing."""

    name: str
    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


class Thumbnails:
    """Creates each thumbnail once; a file that cannot be shown gives a reason, never an error."""

    def __init__(self, max_side: int = MAX_SIDE) -> None:
        """Initialize it; ``max_side`` is the longest side in pixels."""
        self.max_side = max_side
        self._made: dict[Shown, Thumbnail] = {}
        self._films: FilmStrips | None = None
        limits = DecodeLimits()
        self._guard = IsolatedDecoder(limits.seconds, memory=limits.bytes)

    def __call__(
        self, path: Path, start: float | None = None, end: float | None = None
    ) -> Thumbnail:
        """Return the thumbnail of an image as the model sees it, or of a part of a video."""
        shown = path, start, end
        if shown not in self._made:
            self._made[shown] = self._make(shown)
        return self._made[shown]

    def close(self) -> None:
        """Stop the decoders."""
        self._guard.close()
        if self._films is not None:
            self._films.close()

    def _make(self, shown: Shown) -> Thumbnail:
        path = shown[0]
        # Anything but a regular file (a pipe, a device) could block forever.
        if not (path.is_file() or is_reference(str(path))):
            return Thumbnail(path.name, problem="file not found")
        try:
            picture = self._picture(shown)
        except UnreadableError as error:
            return Thumbnail(path.name, problem=error.reason)
        picture.thumbnail((self.max_side, self.max_side))
        return Thumbnail(path.name, jpeg_uri(picture), picture.width, picture.height)

    def _picture(self, shown: Shown) -> Image.Image:
        path = shown[0]
        try:
            return Image.fromarray(read_picture(self._guard, str(path), self.max_side))
        except UnreadableError:
            if path.suffix.lower() not in SUFFIXES["video"]:
                raise
        self._films = self._films or FilmStrips()
        return self._films(*shown)


def jpeg_uri(picture: Image.Image) -> str:
    """Encode an image as JPEG in a ``data:`` URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82, optimize=True)
    return data_uri("image/jpeg", buffer.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Encode bytes of a media type in a ``data:`` URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
