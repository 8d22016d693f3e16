"""The pre-norm Transformer block and a stack of them (Vaswani et al. 2017; Xiong et al. 2020)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.layer.attention import Attention


class FeedForward(nn.Sequential):
    """Linear, GELU, linear: the hidden layer is ``ratio`` times as wide."""

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
    """Self-attention, then feed-forward, each on normalised input and added to the stream.

    In training each is left out of a sample at the rate ``drop_path`` (stochastic depth, Huang et
    al. 2016).
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
        """Tokens where ``mask`` is False are looked at by nobody."""
        x = x + self.thinned(self.attention(self.norm1(x), mask=mask))
        return x + self.thinned(self.feed_forward(self.norm2(x)))

    def thinned(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Zero for some samples, and the more for the others, so that the mean stays."""
        if not self.training or not self.drop_path:
            return x
        kept = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
        return x * (kept / (1 - self.drop_path)).to(x.dtype)


class Transformer(nn.Module):
    """``depth`` blocks and a final norm; ``drop_path`` grows evenly up to the last of them."""

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
            raise ValueError(f"drop_path={drop_path} is not at least 0 and below 1")
        self.blocks = nn.ModuleList(
            Block(dim, num_heads, mlp_ratio, dropout, drop_path * (i + 1) / depth)
            for i in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Run the blocks in turn."""
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)
