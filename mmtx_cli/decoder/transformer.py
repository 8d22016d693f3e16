"""A Transformer decoder with cross-attention, trained from scratch (Vaswani et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmtx_cli.decoder.base import Decoder, DecoderState, rows_of, zero_padding
from mmtx_cli.layer.context import Context
from mmtx_cli.layer.decoder import DecoderBlock, LayerCache
from mmtx_cli.layer.linear.packed import TiedEmbedding


@dataclass
class TransformerState(DecoderState):
    """The context, and the caches of the blocks."""

    can_replace: ClassVar[bool] = True

    context: Context
    caches: list[LayerCache]
    length: int
    """Number of tokens of a text."""
    begin: Int[Tensor, " b"] | None = None
    """Position of the first token of each input; None if it is 0 everywhere."""
    shift: int = 0
    """Position of the first column of the caches."""

    def reorder(self, rows: Int[Tensor, " rows"], length: int) -> None:
        """Reorder the generated tokens of every block."""
        if torch.equal(rows, torch.arange(len(rows), device=rows.device)):
            return
        for cache in self.caches:
            cache.reorder(rows, length - self.shift)

    def keep(self, inputs: Int[Tensor, " m"], beams: int) -> None:
        """Keep the given inputs in every block."""
        self.context = self.context.select(inputs)
        self.begin = None if self.begin is None else self.begin[inputs]
        rows = rows_of(inputs, beams)
        for cache in self.caches:
            cache.keep(inputs, rows)

    def replace(self, inputs: Int[Tensor, " m"], other: "TransformerState", position: int) -> bool:
        """Replace inputs whose context has as many tokens."""
        if self.context.x.shape[1] != other.context.x.shape[1]:
            return False
        self.context = self.context.replaced(inputs, other.context)
        if self.begin is None:
            self.begin = torch.zeros(len(self.context), dtype=torch.long, device=inputs.device)
        self.begin[inputs] = position
        for cache, new in zip(self.caches, other.caches, strict=True):
            cache.replace(inputs, new)
        self.make_room(position)
        return True

    def make_room(self, position: int) -> None:
        """Move the columns that texts still use to the front if the longest text does not fit."""
        assert self.begin is not None
        if position - self.shift + self.length <= self.caches[0].past[0].shape[2]:
            return
        first = int(self.begin.min())
        for cache in self.caches:
            cache.move(first - self.shift, position - self.shift, self.length)
        self.shift = first

    def columns(self, position: int, beams: int) -> tuple[slice, Bool[Tensor, "r n"] | None]:
        """Return the columns that a step reads, and where they belong to the text of each row."""
        column = position - self.shift
        if self.begin is None:
            return slice(0, column + 1), None
        begin = self.begin - self.shift
        place = torch.arange(column + 1, device=begin.device)
        return slice(0, column + 1), (place >= begin[:, None]).repeat_interleave(beams, dim=0)


class TransformerDecoder(Decoder):
    """Causal self-attention over the text, and cross-attention to all context tokens.

    The summary of the context, if there is one, is added to every token. The embeddings are tied to
    the output layer.
    """

    reads_summary: ClassVar[bool] = True

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        max_length: int = 64,
        depth: int = 3,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
    ) -> None:
        """``max_length`` is the maximum number of tokens of a text."""
        super().__init__()
        self.max_length = max_length
        self.embedding = TiedEmbedding(vocab_size, dim)
        self.position = nn.Parameter(torch.empty(max_length, dim))
        self.dropout = nn.Dropout(dropout)
        blocks = [DecoderBlock(dim, num_heads, mlp_ratio, dropout) for _ in range(depth)]
        self.blocks: Sequence[DecoderBlock] = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, tokens: Int[Tensor, "s t"], context: Context) -> Float[Tensor, "s t d"]:
        """Return the hidden states that predict the token after each of ``tokens``."""
        x = self.embedding(zero_padding(tokens)) + self.position[: tokens.shape[1]]
        if context.summary is not None:
            summary = context.summary.repeat_interleave(len(tokens) // len(context), dim=0)
            x = x + summary[:, None]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, context.x, context.mask)
        return self.norm(x)

    def logits(self, hidden: Float[Tensor, "*s d"]) -> Float[Tensor, "*s v"]:
        """Return the logits of hidden states."""
        return self.embedding.logits(hidden)

    def output_weight(self) -> Float[Tensor, "v d"]:
        """Return the embeddings."""
        return self.embedding.weight

    def layers(self) -> list[nn.Module]:
        """Return the blocks."""
        return list(self.blocks)

    def start(self, context: Context, beams: int, length: int) -> TransformerState:
        """Project the context for every block, and allocate the caches."""
        caches = [block.start(context.x, beams, length) for block in self.blocks]
        return TransformerState(context, caches, length)

    def step(
        self, tokens: Int[Tensor, "b k"], state: TransformerState, position: int
    ) -> Float[Tensor, "b k d"]:
        """Return the hidden states that predict the token after ``tokens``."""
        context = state.context
        x = self.embedding(tokens)
        if state.begin is None:
            x = x + self.position[position]
        else:
            x = x + self.position[(position - state.begin).clamp(max=self.max_length - 1)][:, None]
        x = x if context.summary is None else x + context.summary[:, None]
        columns, mask = state.columns(position, tokens.shape[1])
        for block, cache in zip(self.blocks, state.caches, strict=True):
            x = block.step(x, context.x, context.mask, cache, columns, mask)
        return self.norm(x)
