"""Multi-head attention over masked tokens, with a key-value cache for decoding.

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
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1); zeros if everything is masked.

    A row whose mask is False everywhere is unmasked for the softmax and its output set to zero, so
    that every SDPA backend gives finite outputs and gradients.

    Args:
        query: Projected queries.
        key: Projected keys.
        value: Projected values.
        mask: True for the context tokens to attend to; None for all.
        causal: Attend only to the current and previous tokens.
        dropout: Dropout rate of the attention weights.
    """
    if mask is None:
        return F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=causal
        )
    has_context = mask.any(dim=1)
    allowed = (mask | ~has_context[:, None])[:, None, None, :]
    if causal:
        allowed = allowed & lower_triangle(query.shape[2], query)
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=dropout)
    return out * has_context[:, None, None, None]


def lower_triangle(n: int, like: Tensor) -> Bool[Tensor, "n n"]:
    """Return the causal mask: token i may attend to the tokens up to i."""
    return torch.ones(n, n, dtype=torch.bool, device=like.device).tril()


class Attention(nn.Module):
    """Multi-head self-attention, or cross-attention if a context is given."""

    def __init__(
        self, dim: int, num_heads: int, dropout: float = 0.0, context_dim: int | None = None
    ) -> None:
        """``context_dim`` is the width of the context, by default ``dim``."""
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"the width {dim} is not a multiple of num_heads={num_heads}")
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(context_dim or dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def split(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b h n k"]:
        """Split the width into heads."""
        b, n, d = x.shape
        return x.view(b, n, self.num_heads, d // self.num_heads).transpose(1, 2)

    def keys(self, context: Float[Tensor, "b m c"]) -> KeyValue:
        """Project a context to keys and values, which decoding reuses at every step."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        return self.split(key), self.split(value)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m c"] | None = None,
        mask: Bool[Tensor, "b m"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b n d"]:
        """Attend from ``x`` to a context, or to ``x`` itself.

        Args:
            x: Query tokens.
            context: Context tokens; None for ``x``.
            mask: True for the context tokens to attend to; None for all.
            causal: Attend only to the current and previous tokens.
        """
        return self.read(x, self.keys(x if context is None else context), mask, causal)

    def read(
        self,
        x: Float[Tensor, "b n d"],
        keys: KeyValue,
        mask: Bool[Tensor, "b m"] | None = None,
        causal: bool = False,
    ) -> Float[Tensor, "b n d"]:
        """Attend from ``x`` to projected keys and values.

        Args:
            x: Query tokens.
            keys: Returned by ``keys``.
            mask: True for the context tokens to attend to; None for all.
            causal: Attend only to the current and previous tokens.
        """
        dropout = self.dropout if self.training else 0.0
        y = attend(self.split(self.query(x)), *keys, mask=mask, causal=causal, dropout=dropout)
        return self.out(y.transpose(1, 2).flatten(2))

    def read_tokens(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m c"],
        mask: Bool[Tensor, "b m"],
    ) -> Float[Tensor, "b n d"]:
        """Attend from ``x`` to context tokens that are not projected, as ``read`` does to projected
        ones, without dropout.

        The projections are applied to the queries and to the weighted means instead: q (W c) =
        (q W) c, and the mean of W c is W times the mean of c (as in multi-head latent attention,
        DeepSeek-AI 2024). A bias of the keys changes no weight.

        Args:
            x: Query tokens.
            context: Context tokens.
            mask: True for the context tokens to attend to.
        """
        (b, n, d), h = x.shape, self.num_heads
        weight = self.key_value.weight.view(2, h, d // h, -1)
        queries = torch.einsum("bnhk,hkc->bhnc", self.query(x).view(b, n, h, -1), weight[0])
        has_context = mask.any(dim=1)
        means = F.scaled_dot_product_attention(
            queries.reshape(b, 1, h * n, -1),
            context[:, None],
            context[:, None],
            attn_mask=(mask | ~has_context[:, None])[:, None, None, :],
            scale=(d // h) ** -0.5,
        ).view(b, h, n, -1)
        y = torch.einsum("bhnc,hkc->bnhk", means, weight[1]).reshape(b, n, d)
        if self.key_value.bias is not None:
            y = y + self.key_value.bias[d:]
        return self.out(y * has_context[:, None, None])
