"""What a language model keeps between two steps of generation."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmtx_cli.connector.base import Connector
from mmtx_cli.decoder.base import DecoderState, rows_of


@dataclass
class LanguageModelState(DecoderState):
    """The cache of a language model, with one row per beam of every input.

    All rows write to the same column of the cache; ``mask`` says which columns are theirs.
    """

    cache: Any
    first: Float[Tensor, "b d"]
    """Hidden states that predict the first token."""
    mask: Bool[Tensor, "r c"] | None
    """Which columns belong to each row; None for all."""
    length: Int[Tensor, " r"]
    """Number of tokens of the prefix."""
    connector: Connector
    beams: int
    new: int
    """Number of tokens of a text."""
    begin: Int[Tensor, " b"]
    """Position of the first token of each input."""

    @property
    def can_replace(self) -> bool:  # type: ignore[override]
        """Return whether all layers attend to the whole text, and all of the input is tokens."""
        is_buffered = (hasattr(layer, "put") for layer in self.cache.layers)
        return all(is_buffered) and not self.connector.inserts_layers

    @property
    def columns(self) -> int:
        """Number of columns of the cache that have been written."""
        return int(self.cache.layers[0].get_seq_length())

    def reorder(self, rows: Int[Tensor, " rows"], length: int) -> None:
        """Reorder the cache; rows of one input have the same prefix."""
        if length > 1 and not torch.equal(rows, torch.arange(len(rows), device=rows.device)):
            self.cache.reorder_cache(rows)  # the last token is not in the cache yet

    def keep(self, inputs: Int[Tensor, " m"], beams: int) -> None:
        """Keep the given inputs in the cache, the prefix and the connector."""
        from mmtx_cli.decoder.beam_cache import keep_rows

        rows = rows_of(inputs, beams)
        for layer in self.cache.layers:
            keep_rows(layer, rows)
        self.first, self.length = self.first[inputs], self.length[rows]
        self.mask = None if self.mask is None else self.mask[rows]
        self.begin = self.begin[inputs]
        self.connector.keep(inputs)

    def replace(
        self, inputs: Int[Tensor, " m"], other: "LanguageModelState", position: int
    ) -> bool:
        """Put prefixes before the next column; False if one is longer than all columns so far."""
        columns, size = self.columns, other.columns
        if size > columns:
            return False
        rows = rows_of(inputs, self.beams)
        for layer, new in zip(self.cache.layers, other.cache.layers, strict=True):
            layer.put(rows, new)
        if self.mask is None:
            self.mask = torch.ones(len(self.length), columns, dtype=torch.bool, device=rows.device)
        self.mask[rows] = False
        self.mask[rows, columns - size :] = True if other.mask is None else other.mask
        self.length[rows], self.first[inputs], self.begin[inputs] = (
            other.length,
            other.first,
            position,
        )
        self.make_room()
        return True

    def make_room(self) -> None:
        """Forget columns that belong to no row any more, if the longest text does not fit."""
        assert self.mask is not None
        if self.columns + self.new < self.cache.layers[0].capacity:
            return
        first = int(self.mask.any(dim=0).int().argmax())
        self.mask = self.mask[:, first:]
        for layer in self.cache.layers:
            layer.move(first, self.new + 1)

    def inputs(self, position: int) -> dict[str, Tensor]:
        """Return position and attention mask of the next token, as arguments of the model."""
        begin = self.begin.repeat_interleave(self.beams)
        place = (self.length + position - begin - 1).clamp(min=0)
        found = {"position_ids": place[:, None]}
        if self.mask is not None:
            # the first token of a new input is predicted by its prefix, and not by this step
            self.mask = torch.cat([self.mask, (begin < position)[:, None]], dim=1)
            found["attention_mask"] = self.mask.long()
        return found
