"""A sheet of tiles with captions, drawn with Pillow."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, MUTED = (255, 255, 255), (28, 30, 33), (92, 97, 103)
MARGIN, GAP, LINE = 12, 8, 18
"""Pixels around the sheet, between tiles, and of a line of text."""

Pixels = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Label:
    """A word in bold, and what is written behind or below it."""

    word: str
    note: str = ""


@cache
def font(bold: bool = False, size: int = 13) -> ImageFont.FreeTypeFont:
    """Return a font with Latin, Greek, Cyrillic and other letters, which matplotlib includes."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", name), size)


class Sheet:
    """A white page with a heading, on which tiles and texts are put."""

    def __init__(self, width: int, height: int) -> None:
        """Create an empty page of this size in pixels."""
        self.image = Image.new("RGB", (width, height), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def put(self, picture: Pixels, x: int, y: int) -> None:
        """Put a tile with its top left corner at (x, y)."""
        self.image.paste(Image.fromarray(picture), (x, y))

    def write(self, label: Label, x: int, y: int, width: int) -> None:
        """Write a label in one line; what is longer than ``width`` pixels is cut."""
        word = shortened(label.word, font(bold=True), width)
        self.pen.text((x, y), word, INK, font(bold=True))
        start = font(bold=True).getlength(f"{word} ") if word else 0
        note = shortened(label.note, font(), width - start)
        self.pen.text((x + start, y), note, MUTED, font())

    def save(self, path: Path) -> None:
        """Save the page as a PNG of at most 256 colors."""
        palette = self.image.quantize(256, method=Image.Quantize.FASTOCTREE)
        few = self.image.quantize(256, palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        few.save(path, "PNG", optimize=True)


def shortened(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """Return a text, cut with an ellipsis if it is longer than ``width`` pixels."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…" if text else ""


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: float, most: int) -> list[str]:
    """Return at most ``most`` lines of a text, each at most ``width`` pixels long."""
    lines, words = [""], text.split()
    for i, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {' '.join(words[i:])}"
            break
    return [shortened(line, face, width) for line in lines]
