"""Small JPEG copies of pictures as `data:` addresses, so that a page needs no other file."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from mmtx_cli.data.image import FORMATS
from mmtx_cli.data.suffix import SUFFIXES

MAX_SIDE = 320
STILL = Callable[[Path], Image.Image]


@dataclass(frozen=True)
class Thumbnail:
    """A picture ready for `<img>`, or, with an empty `uri`, the reason why there is none."""

    name: str
    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


class Thumbnails:
    """Makes each thumbnail once; a file that cannot be shown gives a reason, never an error."""

    def __init__(self, still: STILL | None = None, max_side: int = MAX_SIDE) -> None:
        """Take `still` as the way to a picture of a file that Pillow cannot open (a video)."""
        self.still = still
        self.max_side = max_side
        self._made: dict[Path, Thumbnail] = {}

    def __call__(self, path: Path) -> Thumbnail:
        """Give the thumbnail of a picture, or of the middle frame of an animation."""
        if path not in self._made:
            self._made[path] = self._make(path)
        return self._made[path]

    def _make(self, path: Path) -> Thumbnail:
        try:
            # Anything but a regular file (a pipe, a device) could block for ever.
            if not path.is_file():
                return Thumbnail(path.name, problem="file not found")
            picture = self._shrink(path)
        except Exception as error:  # decoders raise nearly anything on damaged files
            return Thumbnail(path.name, problem=_reason(error))
        return Thumbnail(path.name, _data_uri(picture), picture.width, picture.height)

    def _shrink(self, path: Path) -> Image.Image:
        try:
            picture: Image.Image = Image.open(path, formats=FORMATS)
        except Image.UnidentifiedImageError:
            if self.still is None or path.suffix.lower() in SUFFIXES["image"]:
                raise
            picture = self.still(path)
        with picture:
            if (frames := getattr(picture, "n_frames", 1)) > 1:
                picture.seek(frames // 2)
            picture.thumbnail((self.max_side, self.max_side))
            return _on_white(ImageOps.exif_transpose(picture))


def _on_white(picture: Image.Image) -> Image.Image:
    """Drop transparency, which JPEG lacks; without this it would turn black."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    page = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(page, layer).convert("RGB")


def _data_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture that can be shown"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    return f"cannot be read: {str(error) or type(error).__name__}"[:120]
