"""Where the square that a model reads lies on the original picture: ``media.transform.fit`` undone.

Shape letters: h rows, w columns.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.media.geometry import excess, padding, scaled_sides


@dataclass(frozen=True)
class Region:
    """A rectangle in fractions of a picture; with padding, it is larger than the picture."""

    top: float
    left: float
    bottom: float
    right: float


WHOLE = Region(0.0, 0.0, 1.0, 1.0)


def read_region(height: int, width: int, size: int, how: str) -> Region:
    """Return what a model reads of a picture, as ``fit`` resizes it.

    Args:
        height: Height of the picture, in pixels.
        width: Width of the picture, in pixels.
        size: Side of the square, in pixels.
        how: ``crop``, ``pad`` or ``squash``.
    """
    edges = []
    for side in scaled_sides(height, width, size, how):
        first = -padding(side, size) if how == "pad" else excess(side, size)
        edges.append((first / side, (first + size) / side))
    (top, bottom), (left, right) = edges
    return Region(top, left, bottom, right)


def over_picture(
    maps: Float[Tensor, "n h w"], region: Region, height: int, width: int
) -> Float[Tensor, "n {height} {width}"]:
    """Return maps of the square that a model read as maps of the whole picture.

    They are interpolated, and zero where the model did not look.

    Args:
        maps: Maps of the square.
        region: The square.
        height: Height of the result; it may be that of a smaller copy of the picture.
        width: Its width.
    """
    rows, columns = (
        2 * ((torch.arange(n) + 0.5) / n - first) / (last - first) - 1
        for n, first, last in (
            (height, region.top, region.bottom),
            (width, region.left, region.right),
        )
    )
    grid = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)], dim=2).expand(
        len(maps), -1, -1, -1
    )
    inside = (grid.abs() <= 1).all(dim=3)
    found = F.grid_sample(maps[:, None], grid.to(maps), padding_mode="border", align_corners=False)[
        :, 0
    ]
    return found * inside
