"""Tokens from the feature map of a convolutional backbone."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.layer.freeze import Freezable, freeze_first
from mmtx_cli.layer.position import GridPosition
from mmtx_cli.layer.transformer import Transformer


class FeatureMap(Freezable):
    """A convolutional backbone; each cell of its map becomes a token for a small Transformer.

    Cells are projected and get a grid position. Frozen layers keep their weights and batch-norm
    statistics, and build no graph.
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
        """Wrap ``body`` and freeze it as specified.

        Args:
            body: The backbone.
            channels: Channels of its feature map.
            freeze: As in ``freeze_first``.
            grid: Side of the position grid, in cells.
            width: Width of the tokens.
            depth: Number of Transformer blocks.
            num_heads: Number of attention heads.
            dropout: Dropout rate.
            parts: Stem and blocks of the backbone, needed if ``freeze`` is a number.
        """
        super().__init__()
        self.channels = channels
        self.body = body.to(memory_format=torch.channels_last)  # faster for convolutions
        self.frozen = freeze_first(body, parts, freeze)
        self.project = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.position = GridPosition(width, grid)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, dropout=dropout)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Return the tokens of each image's feature map, row by row."""
        features = self.features(pixels)
        height, width = features.shape[2:]
        return self.tokens(features.flatten(2).mT, height, width)

    def tokens(
        self, cells: Float[Tensor, "b n c"], height: int, width: int
    ) -> Float[Tensor, "b n d"]:
        """Return the tokens for given cells of each feature map, row by row."""
        x = self.project(cells) + self.position(height, width)
        return self.transformer(self.dropout(x))

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """Return the backbone's feature map."""
        return self.body(pixels.contiguous(memory_format=torch.channels_last))

    def pooled(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 c"]:
        """Return the mean of the backbone's feature map, as one token."""
        return self.features(pixels).flatten(2).mean(dim=2)[:, None]
