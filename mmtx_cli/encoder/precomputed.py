"""Encoder of precomputed features of any modality: projection and Transformer."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.encoder.base import Encoder, real_content
from mmtx_cli.layer.position import SequencePosition
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Tokens

MAX_DEVIATIONS = 10.0
"""Standardized features are clipped to this many standard deviations."""


class PrecomputedEncoder(Encoder):
    """Standardize each feature, then a linear layer, positions and Transformer blocks.

    Each vector becomes one token. The features of one vector often have different units: COVAREP
    (audio) combines a pitch in hertz with ratios below one. LayerNorm over the vector would
    preserve little but the pitch, and batch statistics would make a sample depend on the rest of
    its batch. So each feature is standardized to mean 0 and standard deviation 1 with statistics of
    the training rows, which are computed once before training and saved with the weights. Outliers
    are clipped at ten standard deviations.
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
        """``num_features`` is the length of a feature vector; it is read from the data.

        ``max_feature_length`` is the number of vectors with a learned position of their own. With
        ``depth=0`` there are no Transformer blocks: a token is the projection of its vector plus a
        position, and depends on no other vector.
        """
        super().__init__()
        if depth < 0:
            raise ValueError(f"depth={depth}: must be at least 0 (0 for the projection only)")
        self.width = width
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))
        self.linear = nn.Linear(num_features, width)
        self.position = SequencePosition(width, max_feature_length)
        self.dropout = nn.Dropout(dropout)
        blocks = (depth, num_heads, mlp_ratio, dropout)
        self.transformer = Transformer(width, *blocks) if depth else None

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data`` of shape [b, l, c]: l vectors of c features."""
        x = self.linear(self.standard(real_content(field))) + self.position(field.mask)
        if self.transformer is not None:
            x = self.transformer(self.dropout(x), field.mask)
        return Tokens(x, field.mask)

    def standard(self, x: Float[Tensor, "b l c"]) -> Float[Tensor, "b l c"]:
        """Standardize and clip each feature."""
        return ((x - self.mean) / self.deviation).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)

    def set_feature_statistics(
        self, mean: Float[Tensor, " c"], deviation: Float[Tensor, " c"]
    ) -> None:
        """Set the mean and standard deviation of each feature over the training rows."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def blocks(self) -> list[nn.Module]:
        """Return the projection with the positions, then the blocks."""
        stem = nn.ModuleList([self.linear, self.position])
        return [stem, *(self.transformer.blocks if self.transformer is not None else ())]
