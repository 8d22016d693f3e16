"""Multi-head attention over masked tokens, with the keys and values kept while decoding.

Shape letters: b batch, n query tokens, m context tokens, d width, h heads, k width of a head.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

KeyValue = tuple[Tensor, Tensor]


def attend(
    query: Float[Tensor, "b h n k"],
    key: Float[Tensor, "b h m k"],
    value: Float[Tensor, "b h m k"],
    mask: Bool[Tensor, "b m"] | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Float[Tensor, "b h n k"]:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1); nothing to attend to gives zeros.

    A row whose mask is False everywhere is opened for the softmax and zeroed afterwards, so that
    every SDPA backend stays finite there, forwards and backwards.
    """
    if mask is None:
        return F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=causal
        )
    real = mask.any(dim=1)
    allowed = (mask | ~real[:, None])[:, None, None, :]
    if causal:
        allowed = allowed & lower_triangle(query.shape[2], query)
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=dropout)
    return out * real[:, None, None, None]


def lower_triangle(n: int, like: Tensor) -> Bool[Tensor, "n n"]:
    """Token i may look at the tokens up to i."""
    return torch.ones(n, n, dtype=torch.bool, device=like.device).tril()


class Attention(nn.Module):
    """Self-attention, or cross-attention where a context is given."""

    def __init__(
        self, dim: int, num_heads: int, dropout: float = 0.0, context_dim: int | None = None
    ) -> None:
        """``context_dim`` is the width of the context (default: ``dim``)."""
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"the width {dim} is not a multiple of num_heads={num_heads}")
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(context_dim or dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def split(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b h n k"]:
        """Cut the width into heads."""
        b, n, d = x.shape
        return x.view(b, n, self.num_heads, d // self.num_heads).transpose(1, 2)

    def keys(self, context: Float[Tensor, "b m c"]) -> KeyValue:
        """Project a context once; decoding attends to it at every step."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        return self.split(key), self.split(value)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m c"] | None = None,
        mask: Bool[Tensor, "b m"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b n d"]:
        """Attend from ``x`` to ``context`` (to itself without one), where ``mask`` is True."""
        return self.read(x, self.keys(x if context is None else context), mask, causal)

    def read(
        self,
        x: Float[Tensor, "b n d"],
        keys: KeyValue,
        mask: Bool[Tensor, "b m"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b n d"]:
        """Attend from ``x`` to keys and values that are already projected."""
        dropout = self.dropout if self.training else 0.0
        y = attend(self.split(self.query(x)), *keys, mask=mask, causal=causal, dropout=dropout)
        return self.out(y.transpose(1, 2).flatten(2))
