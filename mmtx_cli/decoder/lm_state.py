"""What a language model keeps between two steps of generation."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmtx_cli.connector.base import Connector
from mmtx_cli.decoder.base import DecoderState, rows_of


@dataclass
class LanguageModelState(DecoderState):
    """The cache of a language model, with one row per beam of every input."""

    cache: Any
    first: Float[Tensor, "b v"]
    """Logits of the first token."""
    mask: Bool[Tensor, "r p"] | None
    """Where the prefix is real; None if it is everywhere."""
    length: Int[Tensor, " r"]
    """Number of tokens of the prefix."""
    connector: Connector

    def reorder(self, rows: Int[Tensor, " rows"], length: int) -> None:
        """Reorder the cache; rows of one input have the same prefix."""
        if length > 1:  # the last token is not in the cache yet
            self.cache.reorder_cache(rows)

    def keep(self, inputs: Int[Tensor, " m"], beams: int) -> None:
        """Keep the given inputs in the cache, the prefix and the connector."""
        from mmtx_cli.decoder.beam_cache import keep_rows

        rows = rows_of(inputs, beams)
        for layer in self.cache.layers:
            keep_rows(layer, rows)
        self.first, self.length = self.first[inputs], self.length[rows]
        self.mask = None if self.mask is None else self.mask[rows]
        self.connector.keep(inputs)
