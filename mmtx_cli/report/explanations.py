"""The heat maps of explained captions, as images of the page."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mmtx_cli.io.untrusted.bounded_file import read_bytes
from mmtx_cli.report.thumbnail import data_uri

MAX_BYTES = 8 * 2**20
"""Size limit of a PNG."""
MAX_PIXELS = 20_000_000
NAME = re.compile(r"explanations/[\w-]+\.png", re.ASCII)
"""What a run folder may name: nothing outside."""


@dataclass(frozen=True)
class ExplainedCaption:
    """A sheet of heat maps; with an empty ``uri``, the reason why it is missing."""

    name: str
    caption: str
    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""

    @property
    def alt(self) -> str:
        """What the image shows, in words."""
        return f"Heat map of each word of the caption “{self.caption}” of {self.name}"


@dataclass(frozen=True)
class Explanations:
    """The first explained captions, and how many there are."""

    shown: list[ExplainedCaption]
    count: int


def explanations(folder: Path, rows: list[dict[str, Any]], size: int) -> Explanations | None:
    """Return the first ``size`` explained captions; None if there are none.

    Args:
        folder: The run folder.
        rows: The rows of ``captions.jsonl``.
        size: Largest number of images.
    """
    explained = [row for row in rows if row.get("explanation")]
    if not explained:
        return None
    return Explanations([_read(folder, row) for row in explained[:size]], len(explained))


def _read(folder: Path, row: dict[str, Any]) -> ExplainedCaption:
    name, caption = Path(str(row.get("path", ""))).name, str(row.get("caption", ""))
    path = row["explanation"]
    if not (isinstance(path, str) and NAME.fullmatch(path)):
        return ExplainedCaption(name, caption, problem="not a file of this run folder")
    try:
        content = read_bytes(folder / path, MAX_BYTES)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            width, height = image.size
    except (OSError, ValueError) as error:
        return ExplainedCaption(name, caption, problem=f"cannot be read: {error}")
    if width * height > MAX_PIXELS:
        return ExplainedCaption(name, caption, problem="too large")
    return ExplainedCaption(name, caption, data_uri("image/png", content), width, height)
