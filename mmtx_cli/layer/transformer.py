"""Pre-norm Transformer blocks and a stack of them (Vaswani et al. 2017; Xiong et al. 2020)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.layer.attention import Attention


class FeedForward(nn.Sequential):
    """Linear, GELU, linear; ``ratio`` is the width of the hidden layer relative to ``dim``."""

    def __init__(self, dim: int, ratio: float = 4.0, dropout: float = 0.0) -> None:
        hidden = int(dim * ratio)
        super().__init__(
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )


class Block(nn.Module):
    """Pre-norm Transformer block: self-attention, then feed-forward, each with a residual.

    In training each branch is dropped per sample with probability ``drop_path`` (stochastic depth,
    Huang et al. 2016).
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_ratio, dropout)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Apply the block; tokens where ``mask`` is False are not attended to."""
        x = x + self.thinned(self.attention(self.norm1(x), mask=mask))
        return x + self.thinned(self.feed_forward(self.norm2(x)))

    def thinned(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Zero some samples and scale the others up, so that the expected value is unchanged."""
        if not self.training or not self.drop_path:
            return x
        keep = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
        return x * (keep / (1 - self.drop_path)).to(x.dtype)


class Transformer(nn.Module):
    """``depth`` blocks and a final norm; ``drop_path`` increases linearly up to the last block."""

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path={drop_path} must be at least 0 and below 1")
        self.blocks = nn.ModuleList(
            Block(dim, num_heads, mlp_ratio, dropout, drop_path * (i + 1) / depth)
            for i in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Apply the blocks in order."""
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)
