"""From the feature map of a convolutional body to tokens."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.layer.position import GridPosition
from mmtx_cli.layer.transformer import Transformer


class FeatureMap(nn.Module):
    """A body that gives a map; one token a cell: projection, grid position, a Transformer.

    A frozen body keeps its weights and its batch statistics, and builds no graph.
    """

    def __init__(
        self,
        body: nn.Module,
        channels: int,
        freeze: bool,
        grid: int,
        width: int,
        depth: int,
        num_heads: int,
        dropout: float,
    ) -> None:
        """``grid`` is the side, in cells, of the map that the positions are made for."""
        super().__init__()
        body = body.to(memory_format=torch.channels_last)  # the quicker order for convolutions
        self.body = body.requires_grad_(not freeze)
        self.freeze = freeze
        self.project = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.position = GridPosition(width, grid)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, dropout=dropout)

    def train(self, mode: bool = True) -> "FeatureMap":
        """Switch all but a frozen body, which stays in evaluation mode."""
        super().train(mode)
        if self.freeze:
            self.body.eval()
        return self

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Row by row, the cells of each picture's map."""
        features = self.features(pixels)
        x = self.project(features.flatten(2).mT) + self.position(*features.shape[2:])
        return self.transformer(self.dropout(x))

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The body's map."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            return self.body(pixels)

    def pooled(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 c"]:
        """The mean of the body's map, as one token."""
        return self.features(pixels).flatten(2).mean(dim=2)[:, None]
