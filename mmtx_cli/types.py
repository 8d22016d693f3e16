"""The vocabulary of the project: what flows from the data to the predictions.

Shape letters: b batch, n tokens, l raw length, d width, h heads, v vocabulary, t frames.
A mask is True where the content is real.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import nan

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from mmtx_cli.counter_rng import id_tensor


@dataclass(frozen=True)
class Places:
    """k of the n tokens of each sample, by their numbers; where ``mask`` is False there is none."""

    index: Int[Tensor, "b k"]
    mask: Bool[Tensor, "b k"]

    def of(self, x: Shaped[Tensor, "b n *d"]) -> Shaped[Tensor, "b k *d"]:
        """The rows of ``x`` at these places."""
        return x[torch.arange(len(x), device=x.device)[:, None], self.index]


@dataclass
class Field:
    """The raw input of one modality: tokens, pixels, frames, with what of it is real.

    ``mask`` has l = 1 for an image; a sample that lacks the modality is a row of False. An encoder
    that cuts its input into patches sees those alone that are ``shown``, if this is not None.
    ``empty`` where no sample of the batch has the modality and that is known beforehand.
    ``encoded``: the data are no raw input but what the encoder made of it, [b, n, width], and the
    mask is of these tokens; ``of_body``: what the encoder's body made of it, [b, n, c].
    """

    data: Shaped[Tensor, "b ..."]
    mask: Bool[Tensor, "b l"]
    shown: Places | None = None
    empty: bool = False
    encoded: bool = False
    of_body: bool = False

    def each(self, change: Callable[[Tensor], Tensor]) -> "Field":
        """Return the field with ``change`` made to every tensor."""
        shown = self.shown and Places(change(self.shown.index), change(self.shown.mask))
        return replace(self, data=change(self.data), mask=change(self.mask), shown=shown)

    def split(self, size: int) -> "list[Field]":
        """Parts of ``size`` samples."""
        starts = range(0, len(self.mask), size)
        return [self.each(lambda x, i=i: x[i : i + size]) for i in starts]  # type: ignore[misc]


@dataclass(frozen=True)
class Patches:
    """What an encoder cuts raw input into before anything is learned: n patches of p numbers.

    They stand moment after moment, ``places`` of them in each: all those of one picture, of one
    tubelet of frames, of one stretch of a sound. ``position`` says where each is.
    """

    x: Float[Tensor, "b n p"]
    mask: Bool[Tensor, "b n"]
    position: Float[Tensor, "#b n d"]
    places: int


class Patching:
    """How an encoder that can do without some of its patches cuts its input."""

    def __init__(
        self, numbers: int, width: int, maskings: Sequence[str], cut: Callable[[Field], Patches]
    ) -> None:
        """``numbers`` are in a patch, ``width`` in its position.

        ``maskings`` are the ways of choosing what is hidden (``layer/masking.py``) that the encoder
        can do with, its own first.
        """
        self.numbers, self.width, self.maskings, self.cut = numbers, width, maskings, cut


@dataclass(frozen=True)
class Tokens:
    """What an encoder gives: n token vectors a sample, and which of them are real."""

    x: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]

    @property
    def present(self) -> Bool[Tensor, " b"]:
        """True for the samples that have anything of this modality."""
        return self.mask.any(dim=1)

    def only(self, rows: Bool[Tensor, " b"]) -> "Tokens":
        """The same, where the other samples have nothing."""
        mask = self.mask & rows[:, None]
        return Tokens(self.x.masked_fill(~mask[..., None], 0), mask)


Streams = dict[str, Tokens]
IGNORE = -100
"""The value of a target that a sample lacks, torch's own sign for it; of a float, NaN is."""
FUSED = "fused"
"""The stream that a feature-level fusion adds."""


@dataclass
class Batch:
    """Inputs by modality, targets by name, and the ids that name each row.

    ``faults`` tells of the samples whose files could not be read (``id``, ``path``, ``reason``):
    they are in the batch as samples that lack every modality and every target.

    A head in ``meant`` is to learn from those samples alone, one in ``idle`` from none; the others
    from all. ``corpus`` is the one that all samples are of, if there are several.

    ``keys`` are what a model draws by for each sample (``counter_rng.py``): those of the ids, in
    training those of the step. Where several batches make a step, ``shares`` weight the loss of
    each head in it.
    """

    inputs: dict[str, Field]
    targets: dict[str, Tensor] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    faults: list[dict[str, str]] = field(default_factory=list)
    meant: dict[str, Bool[Tensor, " b"]] = field(default_factory=dict)
    idle: frozenset[str] = frozenset()
    corpus: str | None = None
    keys: Int[Tensor, " b"] = None  # type: ignore[assignment]
    shares: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the keys."""
        if self.keys is None:
            self.keys = id_tensor(self.ids)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with ``change`` made to every tensor."""
        inputs = {name: field.each(change) for name, field in self.inputs.items()}
        targets, meant = (
            {name: change(x) for name, x in group.items()} for group in (self.targets, self.meant)
        )
        keys = change(self.keys)
        return replace(self, inputs=inputs, targets=targets, meant=meant, keys=keys)

    def only(self, rows: Bool[Tensor, " b"]) -> "Batch":
        """The same, where the other samples lack every modality and every target."""
        inputs = {
            name: replace(field, mask=field.mask & rows[:, None])
            for name, field in self.inputs.items()
        }
        targets = {
            name: x.masked_fill(
                ~rows.view(-1, *[1] * (x.dim() - 1)), nan if x.is_floating_point() else IGNORE
            )
            for name, x in self.targets.items()
        }
        return replace(self, inputs=inputs, targets=targets)

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
