"""The vocabulary of the project: what flows from the data to the predictions.

Shape letters: b batch, n tokens, l raw length, d width, h heads, v vocabulary, t frames.
A mask is True where the content is real.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


@dataclass
class Field:
    """The raw input of one modality: tokens, pixels, frames, with what of it is real.

    ``mask`` has l = 1 for an image; a sample that lacks the modality is a row of False.
    """

    data: Shaped[Tensor, "b ..."]
    mask: Bool[Tensor, "b l"]


@dataclass(frozen=True)
class Tokens:
    """What an encoder gives: n token vectors a sample, and which of them are real."""

    x: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]

    @property
    def present(self) -> Bool[Tensor, " b"]:
        """True for the samples that have anything of this modality."""
        return self.mask.any(dim=1)


Streams = dict[str, Tokens]
IGNORE = -100
"""The value of a target that a sample lacks: torch's own sign for it."""
FUSED = "fused"
"""The stream that a feature-level fusion adds."""


@dataclass
class Batch:
    """Inputs by modality, targets by name, and the ids that name each row.

    ``faults`` tells of the samples whose files could not be read (``id``, ``path``, ``reason``):
    they are in the batch as samples that lack every modality and every target.
    """

    inputs: dict[str, Field]
    targets: dict[str, Tensor] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    faults: list[dict[str, str]] = field(default_factory=list)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with ``change`` made to every tensor."""
        inputs = {name: Field(change(f.data), change(f.mask)) for name, f in self.inputs.items()}
        return replace(self, inputs=inputs, targets={k: change(v) for k, v in self.targets.items()})

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        """Return the batch with every tensor on ``device``."""
        return self.each(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, from which copies to a GPU overlap."""
        return self.each(lambda x: x.pin_memory())

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Prediction:
    """What a head gives: the loss (None without targets) and what metrics and commands read.

    ``figures`` are further means over the ``count`` of the outputs, such as the accuracy: noted in
    validation beside the loss, and not learned from.
    """

    loss: Tensor | None
    outputs: dict[str, Tensor]
    figures: dict[str, Tensor] = field(default_factory=dict)
