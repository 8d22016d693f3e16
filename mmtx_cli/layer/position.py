"""Learned positions of a grid that stretch to pictures of another size."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class GridPosition(nn.Module):
    """One learned vector a cell of a square grid; another grid interpolates them (bicubic).

    Dosovitskiy et al. 2021, section 3.2.
    """

    def __init__(self, dim: int, size: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.empty(dim, size, size))
        nn.init.normal_(self.grid, std=0.02)

    def forward(self, height: int, width: int) -> Float[Tensor, "n d"]:
        """Positions of a ``height`` x ``width`` grid, row by row."""
        grid: Tensor = self.grid
        if grid.shape[1:] != (height, width):
            size = (height, width)
            grid = F.interpolate(grid[None].float(), size=size, mode="bicubic", antialias=True)[0]
        return grid.flatten(1).T
