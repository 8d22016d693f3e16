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
SMOOTHING = 1 / 10
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
    """Return maps after a Gaussian filter with these standard deviations, mirrored at the edges."""
    for axis, deviation in ((1, rows), (2, columns)):
        kernel = gaussian(deviation, x.shape[axis] - 1, x.device)
        if len(kernel) > 1:
            moved = x.movedim(axis, 2)
            flat = F.pad(moved.flatten(0, 1)[:, None], [len(kernel) // 2] * 2, mode="reflect")
            x = F.conv1d(flat, kernel[None, None]).view_as(moved).movedim(2, axis)
    return x


def gaussian(deviation: float, most: int, device: torch.device) -> Float[Tensor, " k"]:
    """Return a filter with sum 1 of three standard deviations, at most ``most``, to each side."""
    reach = min(round(3 * deviation), most)
    place = torch.arange(-reach, reach + 1, device=device)
    kernel = (-0.5 * (place / max(deviation, 1e-6)).square()).exp()
    return kernel / kernel.sum()
