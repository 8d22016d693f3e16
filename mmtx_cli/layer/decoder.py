"""Transformer decoder with masked self-attention, cross-attention and a key-value cache.

Shape letters: b inputs, k beams per input, t tokens, n context tokens, d width, v vocabulary.
"""

from collections.abc import Sequence
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
    has one entry per input, shared by its beams.
    """

    past: KeyValue
    context: KeyValue

    def reorder(self, rows: Int[Tensor, " rows"], length: int) -> None:
        """Replace the first ``length`` tokens of row i by those of row ``rows[i]``."""
        for cached in self.past:
            cached[:, :, :length] = cached[rows, :, :length]


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
        keys = self.cross_attention.keys(context)
        b, h, _, width = keys[0].shape
        past = keys[0].new_zeros(2, b * beams, h, length, width)
        return LayerCache((past[0], past[1]), keys)

    def step(
        self,
        x: Float[Tensor, "b k d"],
        context_mask: Bool[Tensor, "b n"],
        cache: LayerCache,
        position: int,
    ) -> Float[Tensor, "b k d"]:
        """Decode one more token per beam; the beams of an input share one cross-attention.

        Args:
            x: The new token of each beam.
            context_mask: Where the context is real.
            cache: Returned by ``start``; updated in place.
            position: Number of previous tokens.
        """
        b, k, d = x.shape
        new = self.norm1(x).reshape(b * k, 1, d)
        for cached, projected in zip(cache.past, self.attention.keys(new), strict=True):
            cached[:, :, position] = projected[:, :, 0]
        key, value = cache.past
        keys = key[:, :, : position + 1], value[:, :, : position + 1]
        x = x + self.attention.read(new, keys).view(b, k, d)
        x = x + self.cross_attention.read(self.norm2(x), cache.context, context_mask)
        return x + self.feed_forward(self.norm3(x))


class TextDecoder(nn.Module):
    """Autoregressive Transformer with cross-attention; its embeddings are tied to the output."""

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        depth: int,
        num_heads: int,
        max_length: int,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim)
        self.position = nn.Parameter(torch.empty(max_length, dim))
        self.dropout = nn.Dropout(dropout)
        blocks = [DecoderBlock(dim, num_heads, mlp_ratio, dropout) for _ in range(depth)]
        self.blocks: Sequence[DecoderBlock] = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        nn.init.normal_(self.position, std=0.02)

    def forward(
        self,
        tokens: Int[Tensor, "s t"],
        context: Float[Tensor, "b n d"],
        context_mask: Bool[Tensor, "b n"],
        summary: Float[Tensor, "s d"] | None = None,
    ) -> Float[Tensor, "s t d"]:
        """Return hidden states; ``x @ embedding.weight.T`` are the logits of the next token.

        Args:
            tokens: Token IDs, starting with BOS; s / b consecutive texts per sample.
            context: Input of the cross-attention.
            context_mask: Where the context is real.
            summary: One vector per text, which is added to every token.
        """
        x = self.embedding(tokens) + self.position[: tokens.shape[1]]
        x = self.dropout(x if summary is None else x + summary[:, None])
        for block in self.blocks:
            x = block(x, context, context_mask)
        return self.norm(x)

    def start(self, context: Float[Tensor, "b n d"], beams: int, length: int) -> list[LayerCache]:
        """Project the context for every block and allocate the caches."""
        return [block.start(context, beams, length) for block in self.blocks]

    def step(
        self,
        tokens: Int[Tensor, "b k"],
        context_mask: Bool[Tensor, "b n"],
        caches: list[LayerCache],
        position: int,
        summary: Float[Tensor, "b d"] | None = None,
    ) -> Float[Tensor, "b k v"]:
        """Return the logits of the next token of every beam.

        Args:
            tokens: The last token of each beam.
            context_mask: Where the context is real.
            caches: Returned by ``start``, one per block; updated in place.
            position: Number of previous tokens.
            summary: As in ``forward``.
        """
        x = self.embedding(tokens) + self.position[position]
        x = x if summary is None else x + summary[:, None]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block.step(x, context_mask, cache, position)
        return self.norm(x) @ self.embedding.weight.T
