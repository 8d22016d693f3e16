"""Caches of language models for several beams per input.

Imports transformers, so it is imported when text is generated.
"""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicLayer


class BufferedLayer(DynamicLayer):
    """Keys and values of a layer with full attention, in buffers of the final length.

    A step writes one token in place instead of copying the whole cache. Beams of an input share its
    prefix, so only generated tokens are reordered.
    """

    def __init__(
        self, keys: Float[Tensor, "b h p d"], values: Float[Tensor, "b h p d"], beams: int, new: int
    ) -> None:
        """Copy the prefix for every beam, and reserve ``new`` tokens."""
        super().__init__()
        self.lazy_initialization(keys, values)
        self.prefix = self.length = keys.shape[2]
        self.buffers = []
        for x in (keys, values):
            b, h, p, d = x.shape
            buffer = x.new_empty(b * beams, h, p + new, d)
            buffer[:, :, :p] = x.repeat_interleave(beams, dim=0)
            self.buffers.append(buffer)
        self.show()

    def show(self) -> tuple[Tensor, Tensor]:
        """Set the keys and values to the filled part of the buffers, and return them."""
        keys, values = (buffer[:, :, : self.length] for buffer in self.buffers)
        self.keys, self.values = keys, values
        return keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append tokens; return all keys and values."""
        stop = self.length + key_states.shape[2]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.length : stop] = new
        self.length = stop
        return self.show()

    @property
    def capacity(self) -> int:
        """Number of tokens that fit."""
        return int(self.buffers[0].shape[2])

    def get_seq_length(self) -> int:
        """Return the number of tokens."""
        return self.length

    def reorder_cache(self, beam_idx: Int[Tensor, " rows"]) -> None:
        """Replace the generated tokens of row i by those of row ``beam_idx[i]``."""
        for buffer in self.buffers:
            written = buffer[:, :, self.prefix : self.length]
            written.copy_(written[beam_idx])

    def keep_rows(self, rows: Int[Tensor, " rows"]) -> None:
        """Keep some rows with their prefix."""
        self.buffers = [buffer[rows] for buffer in self.buffers]
        self.show()

    def put(self, rows: Int[Tensor, " rows"], other: "BufferedLayer") -> None:
        """Let some rows end with the tokens of those of a shorter layer."""
        start = self.length - other.length
        for buffer, new in zip(self.buffers, other.buffers, strict=True):
            buffer[rows, :, start : self.length] = new[:, :, : other.length]

    def move(self, first: int, new: int) -> None:
        """Forget the tokens before ``first``, and reserve ``new`` tokens."""
        stop = self.length
        self.length, self.prefix = stop - first, max(0, self.prefix - first)
        for i, buffer in enumerate(self.buffers):
            rows, h, size, d = buffer.shape
            moved = buffer.new_empty(rows, h, max(size, self.length + new), d)
            moved[:, :, : self.length] = buffer[:, :, first:stop]
            self.buffers[i] = moved
        self.show()


def expand_cache(cache: Any, rows: Int[Tensor, " rows"], beams: int, new: int) -> None:
    """Repeat every row of a filled cache for its beams, and reserve ``new`` tokens, in place.

    Args:
        cache: The cache of a prefix.
        rows: For each beam of every input, the input.
        beams: Beams per input.
        new: Maximum number of tokens to generate.
    """
    for i, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            cache.layers[i] = BufferedLayer(layer.keys, layer.values, beams, new)
        else:  # sliding windows and recurrent states
            layer.reorder_cache(rows)


def keep_rows(layer: Any, rows: Int[Tensor, " rows"]) -> None:
    """Keep some rows of a layer's cache, in place."""
    if isinstance(layer, BufferedLayer):
        layer.keep_rows(rows)
    else:
        layer.reorder_cache(rows)
