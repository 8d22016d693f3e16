"""Learned mask queries that reconstruct hidden patches by cross-attention."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.transformer import FeedForward


class QueryBlock(nn.Module):
    """Cross-attention to a context, then feed-forward; queries do not attend to each other."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_ratio)

    def forward(
        self,
        x: Float[Tensor, "b k d"],
        context: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b k d"]:
        """Apply the block; ``mask`` is True where the context is real."""
        x = x + self.attention(self.norm1(x), context, mask)
        return x + self.feed_forward(self.norm2(x))


class QueryDecoder(nn.Module):
    """Predict the content of hidden positions from the encoded ones (CrossMAE, Fu et al. 2024).

    Each query is a learned token plus the projection of its position.
    """

    def __init__(
        self,
        position_width: int,
        dim: int,
        outputs: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        self.place = nn.Linear(position_width, dim)  # the bias is the learned token
        blocks = (QueryBlock(dim, num_heads, mlp_ratio) for _ in range(depth))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, outputs)

    def forward(
        self,
        position: Float[Tensor, "b k p"],
        context: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b k o"]:
        """Return one prediction per position."""
        x = self.place(position)
        for block in self.blocks:
            x = block(x, context, mask)
        return self.out(self.norm(x))
