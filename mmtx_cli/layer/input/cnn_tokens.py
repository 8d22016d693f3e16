"""From the feature map of a convolutional body to tokens."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.layer.freeze import Freezable, freeze_first
from mmtx_cli.layer.position import GridPosition
from mmtx_cli.layer.transformer import Transformer


class FeatureMap(Freezable):
    """A body that gives a map; one token a cell: projection, grid position, a Transformer.

    What is frozen keeps its weights and its batch statistics, and builds no graph.
    """

    def __init__(
        self,
        body: nn.Module,
        channels: int,
        freeze: bool | int,
        grid: int,
        width: int,
        depth: int,
        num_heads: int,
        dropout: float,
        parts: Sequence[nn.Module] = (),
    ) -> None:
        """``grid`` is the side, in cells, of the map that the positions are made for.

        ``parts`` are the stem and the blocks of the body, for a ``freeze`` that is a number.
        """
        super().__init__()
        self.channels = channels
        self.body = body.to(memory_format=torch.channels_last)  # quicker for convolutions
        self.frozen = freeze_first(body, parts, freeze)
        self.project = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.position = GridPosition(width, grid)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, dropout=dropout)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Row by row, the cells of each picture's map."""
        features = self.features(pixels)
        height, width = features.shape[2:]
        return self.tokens(features.flatten(2).mT, height, width)

    def tokens(
        self, cells: Float[Tensor, "b n c"], height: int, width: int
    ) -> Float[Tensor, "b n d"]:
        """The same of the cells of each map, row by row."""
        x = self.project(cells) + self.position(height, width)
        return self.transformer(self.dropout(x))

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The body's map."""
        return self.body(pixels.contiguous(memory_format=torch.channels_last))

    def pooled(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 c"]:
        """The mean of the body's map, as one token."""
        return self.features(pixels).flatten(2).mean(dim=2)[:, None]
