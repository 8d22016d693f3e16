"""Learned queries that read the context (Perceiver resampler of Flamingo, Alayrac et al. 2022)."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.connector.base import Connector, of_streams
from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.context import Context
from mmtx_cli.layer.transformer import FeedForward
from mmtx_cli.types import Tokens


class ResamplerBlock(nn.Module):
    """Queries attend to the context and to each other, then pass a feed-forward layer."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.read = Attention(dim, num_heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads, dropout)
        self.norm3 = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, 4.0, dropout)

    def forward(
        self,
        x: Float[Tensor, "b m d"],
        context: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b m d"]:
        """Update the queries ``x``."""
        x = x + self.read(self.norm1(x), context, mask)
        x = x + self.attention(self.norm2(x))
        return x + self.feed_forward(self.norm3(x))


class ResamplerConnector(Connector):
    """Reads a context of any length into ``num_tokens`` tokens of the model."""

    def __init__(
        self,
        dim: int,
        width: int,
        scale: float,
        streams: int = 1,
        num_tokens: int = 16,
        depth: int = 2,
        num_heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        """``num_tokens`` is the number of learned queries, ``depth`` that of the blocks."""
        super().__init__(dim, streams, num_tokens)
        if num_tokens < 1:
            raise ValueError(f"num_tokens={num_tokens}: must be at least 1")
        self.queries = nn.Parameter(torch.randn(num_tokens, dim) * dim**-0.5)
        self.kind = nn.Parameter(torch.zeros(streams, dim))
        self.norm = nn.LayerNorm(dim)
        self.blocks: Sequence[ResamplerBlock] = nn.ModuleList(  # type: ignore[assignment]
            [ResamplerBlock(dim, num_heads, dropout) for _ in range(depth)]
        )
        self.project = nn.Linear(dim, width)
        self.out = nn.LayerNorm(width)
        nn.init.constant_(self.out.weight, scale)

    def forward(self, context: Context) -> Tokens:
        """Return ``num_tokens`` tokens; none if the whole context is missing."""
        keys = self.norm(context.x) + of_streams(self.kind, context)
        x = self.queries.expand(len(context.x), -1, -1)
        for block in self.blocks:
            x = block(x, keys, context.mask)
        present = context.mask.any(dim=1, keepdim=True)
        x = self.out(self.project(x)) * present[..., None]
        return Tokens(x, present.expand(-1, x.shape[1]))
