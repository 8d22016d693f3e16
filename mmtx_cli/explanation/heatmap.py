"""From the relevance of every pixel or band to heat maps of a moderate size.

Shape letters: h rows, w columns of a map, t frames of a video.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

CELLS = 32
"""Largest number of rows and of columns of the map of a picture, and of bands."""
STEPS = 128
"""Largest number of time steps of the map of audio."""
SMOOTHING = 1 / 12
"""Standard deviation of the smoothing, as a part of the side of a map."""
STEP_SMOOTHING = 1 / 64
"""The same, as a part of the length of a recording."""


def picture_map(x: Float[Tensor, "*t s s2"]) -> Float[Tensor, "*t h w"]:
    """Return the map of each picture."""
    height, width = (min(side, CELLS) for side in x.shape[-2:])
    cells = F.adaptive_avg_pool2d(x.flatten(0, -3)[:, None].float(), (height, width))[:, 0]
    return smoothed(cells, SMOOTHING * height, SMOOTHING * width).view(*x.shape[:-2], height, width)


def audio_map(x: Float[Tensor, "f m"]) -> Float[Tensor, "*t"]:
    """Return the map of a recording: time steps and bands, if there are several."""
    steps, bands = min(x.shape[0], STEPS), min(x.shape[1], CELLS)
    cells = F.adaptive_avg_pool2d(x[None, None].float(), (steps, bands))[0]
    cells = smoothed(cells, STEP_SMOOTHING * steps, SMOOTHING * bands)[0]
    return cells if x.shape[1] > 1 else cells[:, 0]


def smoothed(x: Float[Tensor, "n h w"], rows: float, columns: float) -> Float[Tensor, "n h w"]:
    """Return maps after a Gaussian filter with these standard deviations, which keeps their sums.

    It is mirrored at the edges.
    """
    for axis, deviation in ((1, rows), (2, columns)):
        length = x.shape[axis]
        reach = min(round(3 * deviation), length)
        if not reach:
            continue
        place = torch.arange(-reach, length + reach, device=x.device)
        place = torch.where(place < 0, -1 - place, place)
        place = torch.where(place >= length, 2 * length - 1 - place, place)
        moved = x.movedim(axis, 2)
        padded = moved.flatten(0, 1)[:, None, place]
        kernel = gaussian(deviation, reach).to(x)
        x = F.conv1d(padded, kernel[None, None]).view_as(moved).movedim(2, axis)
    return x


def gaussian(deviation: float, reach: int) -> Float[Tensor, " k"]:
    """Return a filter with sum 1 that reaches ``reach`` places to each side."""
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = (-0.5 * (place / deviation).square()).exp()
    return kernel / kernel.sum()
