"""Learned positions of a grid or a sequence, interpolated to other sizes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.layer.sequence_mask import sequence_lengths


class GridPosition(nn.Module):
    """One learned vector per cell of a square grid, interpolated (bicubic) for other grids.

    Dosovitskiy et al. 2021, section 3.2. Initialized with sines and cosines of row and column
    (Beyer et al. 2022), at the same scale as temporal positions: initialized with small noise, a
    patch's location is hardly visible beside its content and its time.
    """

    def __init__(self, dim: int, size: int) -> None:
        super().__init__()
        rows, columns = sinusoids(size, dim // 2), sinusoids(size, dim - dim // 2)
        grid = torch.cat(
            [
                rows[:, None].expand(-1, size, -1),
                columns[None].expand(size, -1, -1),
            ],
            dim=2,
        )
        self.grid = nn.Parameter(grid.permute(2, 0, 1).contiguous())

    def forward(self, height: int, width: int) -> Float[Tensor, "n d"]:
        """Return the positions of a ``height`` x ``width`` grid, row by row."""
        grid: Tensor = self.grid
        if grid.shape[1:] != (height, width):
            size = (height, width)
            grid = F.interpolate(grid[None].float(), size=size, mode="bicubic", antialias=True)[0]
        return grid.flatten(1).T


class SequencePosition(nn.Module):
    """One learned vector per time step, interpolated (linearly) for longer samples.

    The interpolation depends on the sample's own length and never on the padding, so that a sample
    gets the same positions alone and in a batch. Positions are initialized with sines and cosines,
    so that neighboring ones are similar: interpolation needs that, and order is learned about three
    times faster than from small noise.
    """

    def __init__(self, dim: int, size: int) -> None:
        """``size`` is the number of learned positions; longer sequences interpolate them."""
        super().__init__()
        if size < 1:
            raise ValueError(f"cannot learn positions for a sequence of {size} elements")
        self.places = nn.Parameter(sinusoids(size, dim))

    def forward(self, mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Return the positions of each sample, whose length is that of its last real element."""
        (b, n), size = mask.shape, len(self.places)
        if n <= size:
            return self.places[:n].expand(b, n, -1)
        scale = (size - 1) / (sequence_lengths(mask) - 1).clamp(min=max(size - 1, 1))
        position = (torch.arange(n, device=mask.device) * scale[:, None]).clamp(max=size - 1)
        lower = position.long()
        weight = (position - lower)[..., None].to(self.places.dtype)
        return torch.lerp(self.places[lower], self.places[(lower + 1).clamp(max=size - 1)], weight)


def sinusoids(size: int, dim: int) -> Float[Tensor, "n d"]:
    """Return sines and cosines (Vaswani et al. 2017, section 3.5), 4 to 4 * ``size`` steps long."""
    half = (dim + 1) // 2
    steps = torch.pi / 2 * (1 / size) ** torch.linspace(0, 1, half)
    angle = torch.arange(size)[:, None] * steps
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :dim]
