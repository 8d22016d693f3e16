"""What a decoder reads of each sample.

Shape letters: b inputs, n context tokens, p prompt tokens, d width.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmtx_cli.types import ModalityInput


@dataclass(frozen=True)
class Context:
    """What the texts of b inputs depend on.

    Args:
        x: Context tokens, zero where the mask is False.
        mask: Where the context is real; an input may have none.
        summary: One vector per input, which stands for all of its tokens; None if there is none.
        prompt: Token IDs of a prompt per input, padded with IGNORE_INDEX; None for the decoder's
            own.
        streams: Number of context tokens of each stream; None for a single stream.
        raw: Raw input of each stream, for a decoder that reads it; its tokens say what is real.
    """

    x: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]
    summary: Float[Tensor, "b d"] | None = None
    prompt: Int[Tensor, "b p"] | None = None
    streams: tuple[int, ...] | None = None
    raw: Mapping[str, ModalityInput] | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of tokens of each stream."""
        return (self.x.shape[1],) if self.streams is None else self.streams

    def select(self, inputs: Int[Tensor, " m"]) -> "Context":
        """Return the context of some inputs."""
        own = (self.summary, self.prompt)
        summary, prompt = (None if x is None else x[inputs] for x in own)
        raw = self.raw and {n: x.map(lambda data: data[inputs]) for n, x in self.raw.items()}
        return Context(self.x[inputs], self.mask[inputs], summary, prompt, self.streams, raw)

    def replaced(self, inputs: Int[Tensor, " m"], other: "Context") -> "Context":
        """Return the context with some inputs replaced by those of another, of as many tokens."""

        def put(own: Tensor, new: Tensor) -> Tensor:
            return own.index_copy(0, inputs, new)

        summary = self.summary
        if summary is not None and other.summary is not None:
            summary = put(summary, other.summary)
        x, mask = put(self.x, other.x), put(self.mask, other.mask)
        return Context(x, mask, summary, None, self.streams)

    def __len__(self) -> int:
        return len(self.x)
