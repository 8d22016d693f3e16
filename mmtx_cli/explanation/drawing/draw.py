"""The sheet of an explained text: a heat map for each of its words.

Shape letters: n words, l pictures or frames, h rows, w columns and s steps of a map, y rows, x
columns, t frames, m bands of what it is of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mmtx_cli.explanation.drawing.overlay import dimmed, overlay, resized
from mmtx_cli.explanation.drawing.region import WHOLE, Region, over_picture
from mmtx_cli.explanation.drawing.sheet import GAP, LINE, MARGIN, Label, Sheet, font, wrapped

SIDE, FRAME = 176, 96
"""Longer side of a picture's tile, and side of a frame's, in pixels."""
COLUMNS = 5
FRAMES = 6
"""Largest number of tiles in a row of pictures, and of frames of a video."""
SOUND = 288
"""Width of a spectrogram in pixels."""
NAME = 150
"""Width of the column of the words."""
HEADING = 3
"""Largest number of lines of the caption."""
MOST_WORDS = 32
"""Words on a sheet; longer texts are cut."""

Pixels = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Explained:
    """What is drawn of an input.

    Args:
        caption: The text.
        words: Its words, and the probability of each.
        maps: By modality, as in ``Explanation``.
        picture: The original picture, if the input is a single one.
        region: What the model reads of it.
        frames: By modality, the pictures or frames as the model reads them, [l, h, w, 3].
        spectrogram: Logarithmic power [t, m] from 0 to 1, of the sound that the model reads.
        seconds: Length of the sound.
    """

    caption: str
    words: Sequence[tuple[str, float]]
    maps: Mapping[str, Tensor]
    picture: Pixels | None = None
    region: Region = WHOLE
    frames: Mapping[str, UInt8[np.ndarray, "l h w 3"]] = field(default_factory=dict)
    spectrogram: Float[np.ndarray, "t m"] | None = None
    seconds: float = 0.0


def sheet_of(explained: Explained) -> Sheet:
    """Return the sheet: tiles in rows for a single picture, else a row of frames and sound a word.

    The lightest color of a map is the largest value of the word in its modality.
    """
    if explained.picture is not None and explained.maps.keys() <= {"image", "video"}:
        return picture_sheet(explained, explained.picture)
    return row_sheet(explained)


def notes(explained: Explained) -> list[Label]:
    """Return the labels of the words that are drawn."""
    return [Label(word, f"{p:.0%}") for word, p in explained.words[:MOST_WORDS]]


def heading(explained: Explained, width: int) -> list[str]:
    """Return the lines of the caption."""
    lines = wrapped(explained.caption, font(bold=True, size=15), width, HEADING)
    if (rest := len(explained.words) - MOST_WORDS) > 0:
        lines.append(f"(the last {rest} words are not drawn)")
    return lines


def started(explained: Explained, width: int, height: int) -> tuple[Sheet, int]:
    """Return a sheet with the caption for a content of this size, and where the content begins."""
    lines = heading(explained, width)
    top = MARGIN + len(lines) * (LINE + 3) + GAP
    sheet = Sheet(width + 2 * MARGIN, top + height + MARGIN)
    for i, line in enumerate(lines):
        sheet.pen.text((MARGIN, MARGIN + i * (LINE + 3)), line, "black", font(bold=True, size=15))
    return sheet, top


def picture_sheet(explained: Explained, picture: Pixels) -> Sheet:
    """Return the picture, and a copy under the map of each word."""
    labels = notes(explained)
    scale = SIDE / max(picture.shape[:2])
    height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
    (maps,) = explained.maps.values() or [torch.zeros(0, 1, 1)]
    maps = maps.flatten(0, 1) if maps.dim() == 4 else maps  # a video of one frame
    heat = over_picture(maps[: len(labels)], explained.region, height, width).numpy()
    read = over_picture(torch.ones(1, 1, 1), explained.region, height, width)[0].numpy() > 0
    small = resized(picture, width, height)
    tiles = [(dimmed(small, read), Label("", "picture"))]
    tiles += [
        (dimmed(overlay(small, own, float(own.max())), read), label)
        for own, label in zip(heat, labels, strict=True)
    ]
    columns, cell = min(COLUMNS, len(tiles)), max(width, 96)
    rows = -(-len(tiles) // columns)
    size = columns * (cell + GAP) - GAP, rows * (LINE + height + GAP) - GAP
    sheet, top = started(explained, *size)
    for i, (tile, label) in enumerate(tiles):
        x = MARGIN + i % columns * (cell + GAP)
        y = top + i // columns * (LINE + height + GAP)
        sheet.write(label, x, y, cell)
        sheet.put(tile, x, y + LINE)
    return sheet


def row_sheet(explained: Explained) -> Sheet:
    """Return a row for each word: its frames, and its sound."""
    labels, blocks = notes(explained), parts(explained, len(explained.words))
    width = NAME + sum(GAP + block.width for block in blocks)
    rows = len(labels) + 1
    sheet, top = started(explained, width, LINE + rows * (FRAME + GAP) - GAP)
    x = MARGIN + NAME + GAP
    for block in blocks:
        sheet.write(Label("", block.title), x, top, block.width)
        for row, tile in enumerate([block.plain, *block.rows[: len(labels)]]):
            sheet.put(tile, x, top + LINE + row * (FRAME + GAP))
        x += block.width + GAP
    totals = {name: own.flatten(1).sum(dim=1) for name, own in explained.maps.items()}
    for i, label in enumerate(labels):
        y = top + LINE + (i + 1) * (FRAME + GAP)
        sheet.write(label, MARGIN, y + GAP, NAME)
        for j, (name, total) in enumerate(totals.items() if len(totals) > 1 else ()):
            note = Label("", f"{name} {total[i].item():.0%}")
            sheet.write(note, MARGIN, y + GAP + (j + 1) * LINE, NAME)
    return sheet


@dataclass(frozen=True)
class Block:
    """A column of a sheet: without a map, and under the map of each word."""

    title: str
    plain: Pixels
    rows: list[Pixels]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.plain.shape[1]


def parts(explained: Explained, count: int) -> list[Block]:
    """Return a block for each modality that was read."""
    blocks = []
    for name, maps in sorted(explained.maps.items(), reverse=True):
        if name == "audio" and explained.spectrogram is not None:
            blocks.append(sound_block(maps, explained.spectrogram, explained.seconds))
        elif name in explained.frames:
            own = maps if maps.dim() == 4 else maps[:, None]
            blocks.append(frame_block(name, own, explained.frames[name]))
    return blocks


def frame_block(
    name: str, maps: Float[Tensor, "n l h w"], frames: UInt8[np.ndarray, "l y x 3"]
) -> Block:
    """Return frames side by side; of many, some that are evenly spaced."""
    count = len(frames)
    shown = min(count, FRAMES)
    chosen = [(2 * i + 1) * count // (2 * shown) for i in range(shown)]
    tiles = [resized(frames[i], FRAME, FRAME) for i in chosen]
    rows = []
    for own in maps:
        heat, most = over_picture(own[chosen], WHOLE, FRAME, FRAME).numpy(), float(own.max())
        rows.append(joined([overlay(t, h, most) for t, h in zip(tiles, heat, strict=True)]))
    numbers = ", ".join(str(i + 1) for i in chosen)
    title = name if count == 1 else f"{name}: frames {numbers} of {count}"
    return Block(title, joined(tiles), rows)


def joined(tiles: Sequence[Pixels]) -> UInt8[np.ndarray, "h joined 3"]:
    """Return tiles side by side."""
    gap = np.full((tiles[0].shape[0], 2, 3), 255, dtype=np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)]
    return np.concatenate(parts[1:], axis=1)


def sound_block(
    maps: Float[Tensor, "n s *k"], spectrogram: Float[np.ndarray, "t m"], seconds: float
) -> Block:
    """Return the spectrogram, low frequencies at the bottom; a map without bands covers all."""
    image = np.rint(255 * spectrogram.T[::-1]).astype(np.uint8)
    plain = resized(np.repeat(image[..., None], 3, axis=2), SOUND, FRAME)
    bands = maps if maps.dim() == 3 else maps[..., None]
    heat = over_picture(bands.transpose(1, 2).flip(1), WHOLE, FRAME, SOUND).numpy()
    rows = [overlay(plain, own, float(own.max())) for own in heat]
    return Block(f"audio: 0 to {seconds:.1f} s, low to high", plain, rows)
