"""Pictures in their own aspect ratio, cut into at most a given number of patches.

As in NaViT (Dehghani et al. 2023) and the NaFlex variant of SigLIP 2 (Tschannen et al. 2025).
"""

import math

import torch
from jaxtyping import UInt8
from torch import Tensor

from mmtx_cli.media.transform import resize

HEADER = 5
"""Numbers before the pixels of a patch: its row and column, the last row and the last column of its
picture, and the index of the picture in the sample."""
LARGEST = 256
"""Most rows or columns of a picture, so that their numbers are bytes."""
STEPS = 40
"""Halvings of the interval in which the scale lies."""


def grid(height: int, width: int, patch_size: int, max_patches: int) -> tuple[int, int]:
    """Return the rows and columns of patches of a picture of ``height`` x ``width`` pixels.

    The largest grid of the picture's aspect ratio that has at most ``max_patches`` patches and no
    more pixels than the picture, rounded up to whole patches: pictures are never enlarged.
    """

    def at(scale: float) -> tuple[int, int]:
        return tuple(max(1, math.ceil(side * scale / patch_size)) for side in (height, width))  # type: ignore[return-value]

    def fits(sides: tuple[int, int]) -> bool:
        return sides[0] * sides[1] <= max_patches and max(sides) <= LARGEST

    if fits(at(1.0)):
        return at(1.0)
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(at(middle)) else (low, middle)
    return at(low)


def shorter_side(patch_size: int, max_patches: int) -> int:
    """Return how many pixels the shorter side of a resized picture has at most."""
    return patch_size * math.ceil(math.sqrt(max_patches))


def to_patches(
    picture: UInt8[Tensor, "3 h w"], patch_size: int, max_patches: int, index: int = 0
) -> UInt8[Tensor, "n v"]:
    """Resize a picture to its ``grid`` and cut it into patches, row by row.

    Each has v = ``HEADER`` + 3 * ``patch_size`` ** 2 numbers: where it is, and its pixels in the
    order channel, row, column.

    Args:
        picture: The picture.
        patch_size: Side of a patch in pixels.
        max_patches: Maximum number of patches.
        index: Index of the picture in its sample.
    """
    rows, columns = grid(picture.shape[1], picture.shape[2], patch_size, max_patches)
    pixels = resize(picture, rows * patch_size, columns * patch_size)
    cut = pixels.unflatten(2, (columns, patch_size)).unflatten(1, (rows, patch_size))
    values = cut.permute(1, 3, 0, 2, 4).reshape(rows * columns, -1)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    last = torch.tensor([rows - 1, columns - 1, min(index, LARGEST - 1)])
    places = torch.stack([row.flatten(), column.flatten()], dim=1)
    header = torch.cat([places, last.expand(len(places), -1)], dim=1).to(torch.uint8)
    return torch.cat([header, values], dim=1)
