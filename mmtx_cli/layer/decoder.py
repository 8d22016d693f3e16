"""A Transformer block with causal self-attention, cross-attention and a key-value cache.

Shape letters: s texts, b inputs, k beams per input, t tokens, n context tokens, d width.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmtx_cli.layer.attention import Attention, KeyValue
from mmtx_cli.layer.transformer import FeedForward


@dataclass
class LayerCache:
    """Keys and values of one block, kept between decoding steps.

    ``past`` is [b * k, h, length, d / h] for keys and values of the generated tokens; ``context``
    has one entry per input, shared by its beams, and is None if the context tokens themselves are
    read.
    """

    past: KeyValue
    context: KeyValue | None

    def reorder(self, rows: Int[Tensor, " rows"], length: int) -> None:
        """Replace the first ``length`` tokens of row i by those of row ``rows[i]``."""
        for cached in self.past:
            cached[:, :, :length] = cached[rows, :, :length]

    def keep(self, inputs: Int[Tensor, " m"], rows: Int[Tensor, " rows"]) -> None:
        """Keep the given inputs and the rows of their beams."""
        self.past = compact(self.past[0], rows), compact(self.past[1], rows)
        if self.context is not None:
            self.context = compact(self.context[0], inputs), compact(self.context[1], inputs)

    def replace(self, inputs: Int[Tensor, " m"], other: "LayerCache") -> None:
        """Replace the context of the given inputs; what is in their past is not read again."""
        for own, new in zip(self.context or (), other.context or (), strict=True):
            own[inputs] = new

    def move(self, first: int, stop: int, length: int) -> None:
        """Move the columns from ``first`` to ``stop`` to the front, and leave room for ``length``
        more.
        """
        if (needed := stop - first + length) > self.past[0].shape[2]:
            shape = (*self.past[0].shape[:2], needed, self.past[0].shape[3])
            keys, values = (x.new_zeros(shape) for x in self.past)
        else:
            keys, values = self.past
        for own, new in zip(self.past, (keys, values), strict=True):
            new[:, :, : stop - first] = own[:, :, first:stop].clone()
        self.past = keys, values


def compact(x: Tensor, rows: Int[Tensor, " m"]) -> Tensor:
    """Return ``x[rows]``; rows that stay in their places are not copied, and ``x`` is overwritten.

    A row must not be needed at another place after it was overwritten: ``rows[i] >= i``.
    """
    place = torch.arange(len(rows), device=rows.device)
    moved = (rows != place).nonzero()[:, 0]
    x[moved] = x[rows[moved]]
    return x[: len(rows)]


TYPICAL_LENGTH = 16
"""Number of tokens of a text for which the cheaper way to read the context is chosen."""


def reads_tokens(context: Float[Tensor, "b n d"], beams: int, attention: Attention) -> bool:
    """Return whether reading the context tokens at every step costs less than projecting them once
    to keys and values: so it is for few beams and short texts.

    Only on CPUs, where the arithmetic decides.
    """
    n, d = context.shape[1:]
    further = d + n * (attention.num_heads - 1)
    return context.device.type == "cpu" and beams * TYPICAL_LENGTH * further < n * d


class DecoderBlock(nn.Module):
    """A pre-norm block with causal self-attention and cross-attention to a context."""

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float = 4.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, num_heads, dropout)
        self.norm3 = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_ratio, dropout)

    def forward(
        self,
        x: Float[Tensor, "s t d"],
        context: Float[Tensor, "b n d"],
        context_mask: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "s t d"]:
        """Apply the block to all tokens at once, with causal attention (training).

        Every s / b consecutive texts share one context, which is projected once.
        """
        x = x + self.attention(self.norm1(x), causal=True)
        queries = self.norm2(x).reshape(len(context), -1, x.shape[2])
        x = x + self.cross_attention(queries, context, context_mask).view_as(x)
        return x + self.feed_forward(self.norm3(x))

    def start(self, context: Float[Tensor, "b n d"], beams: int, length: int) -> LayerCache:
        """Allocate a cache for ``length`` tokens of ``beams`` beams per input."""
        attention = self.cross_attention
        keys = None if reads_tokens(context, beams, attention) else attention.keys(context)
        shape = (2, len(context) * beams, attention.num_heads, length)
        kind = self.attention.query(context[:1, :1]).dtype  # also in mixed precision
        past = context.new_zeros(*shape, context.shape[2] // attention.num_heads, dtype=kind)
        return LayerCache((past[0], past[1]), keys)

    def step(
        self,
        x: Float[Tensor, "b k d"],
        context: Float[Tensor, "b n d"],
        context_mask: Bool[Tensor, "b n"],
        cache: LayerCache,
        columns: slice,
        mask: Bool[Tensor, "r m"] | None = None,
    ) -> Float[Tensor, "b k d"]:
        """Decode one more token per beam; the beams of an input share one cross-attention.

        Args:
            x: The new token of each beam.
            context: The context tokens.
            context_mask: Where the context is real.
            cache: Returned by ``start``; updated in place.
            columns: Of the cache that the text so far is in; the last one is for the new token.
            mask: Where they belong to the text of each row; None for everywhere.
        """
        b, k, d = x.shape
        new = self.norm1(x).reshape(b * k, 1, d)
        for cached, projected in zip(cache.past, self.attention.keys(new), strict=True):
            cached[:, :, columns.stop - 1] = projected[:, :, 0]
        key, value = cache.past
        keys = key[:, :, columns], value[:, :, columns]
        shared = context if cache.context is None else cache.context
        return self.attend(x, new, keys, mask, shared, context_mask)

    def attend(
        self,
        x: Float[Tensor, "b k d"],
        new: Float[Tensor, "r 1 d"],
        past: KeyValue,
        past_mask: Bool[Tensor, "r m"] | None,
        context: KeyValue | Tensor,
        context_mask: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b k d"]:
        """Return the output of the block for one token of each beam.

        Args:
            x: The token of each beam.
            new: The same, normalized, in rows: r = b * k.
            past: Keys and values of the text so far, with those of this token.
            past_mask: Where they belong to the text of each row; None for everywhere.
            context: Keys and values of the context, or its tokens.
            context_mask: Where the context is real.
        """
        x = x + self.attention.read(new, past, past_mask).view_as(x)
        queries, cross = self.norm2(x), self.cross_attention
        read = cross.read_tokens if isinstance(context, Tensor) else cross.read
        x = x + read(queries, context, context_mask)  # type: ignore[arg-type]
        return x + self.feed_forward(self.norm3(x))
