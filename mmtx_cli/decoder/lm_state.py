"""What a language model keeps between two steps of generation."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmtx_cli.decoder.base import DecoderState


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

    def reorder(self, rows: Int[Tensor, " rows"], length: int) -> None:
        """Reorder the cache; rows of one input have the same prefix."""
        if length > 1:  # the last token is not in the cache yet
            self.cache.reorder_cache(rows)
