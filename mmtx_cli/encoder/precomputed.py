"""Features that were extracted before, of any modality: projected, then a Transformer."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.encoder.base import Encoder, real_content
from mmtx_cli.layer.position import SequencePosition
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import Field, Tokens

FARTHEST = 10.0
"""Deviations from the mean beyond which a number says no more than that it is large."""


class FeatureEncoder(Encoder):
    """A token a vector: standardised number by number, a linear layer, positions, blocks.

    The numbers of one vector are often of different kinds: in those that COVAREP makes of sound,
    a pitch in hertz stands beside ratios below one. A norm over the vector (LayerNorm) would
    leave little but the pitch, and the statistics of a batch would make a sample depend on its
    neighbours. So each number is brought to mean 0 and deviation 1 by what training rows have,
    which is found once, before the training, and kept with the weights. Outliers are cut at ten
    deviations.
    """

    reads_features: ClassVar[bool] = True

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        num_features: int,
        max_feature_length: int = 512,
        width: int = 256,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        """``num_features`` are the numbers of a vector, which the data say.

        ``max_feature_length`` vectors have positions of their own. With ``depth=0`` there
        are no blocks: a token is its vector's projection and its position, and sees no other.
        """
        super().__init__()
        if depth < 0:
            raise ValueError(f"depth={depth}: write 0 for the projection alone, or more")
        self.width = width
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))
        self.linear = nn.Linear(num_features, width)
        self.position = SequencePosition(width, max_feature_length)
        self.dropout = nn.Dropout(dropout)
        blocks = (depth, num_heads, mlp_ratio, dropout)
        self.transformer = Transformer(width, *blocks) if depth else None

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, l, c]: l vectors of c numbers."""
        x = self.linear(self.standard(real_content(field))) + self.position(field.mask)
        if self.transformer is not None:
            x = self.transformer(self.dropout(x), field.mask)
        return Tokens(x, field.mask)

    def standard(self, x: Float[Tensor, "b l c"]) -> Float[Tensor, "b l c"]:
        """Every number in deviations from its mean."""
        return ((x - self.mean) / self.deviation).clamp(-FARTHEST, FARTHEST)

    def standardise(self, mean: Float[Tensor, " c"], deviation: Float[Tensor, " c"]) -> None:
        """Take mean and deviation of each number, as the training rows have them."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def blocks(self) -> list[nn.Module]:
        """The projection with the positions, then the blocks."""
        stem = nn.ModuleList([self.linear, self.position])
        return [stem, *(self.transformer.blocks if self.transformer is not None else ())]
