"""Data types passed from the data loader through the model to the predictions.

Shape letters: b batch, n tokens, l raw length, d width, h heads, v vocabulary, t frames.
Masks are True for real content and False for padding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import nan

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from mmtx_cli.counter_rng.tensors import id_tensor


@dataclass(frozen=True)
class TokenIndex:
    """Indices of k of the n tokens of each sample; ``mask`` is False for unused entries."""

    index: Int[Tensor, "b k"]
    mask: Bool[Tensor, "b k"]

    def of(self, x: Shaped[Tensor, "b n *d"]) -> Shaped[Tensor, "b k *d"]:
        """Gather the rows of ``x`` at these indices."""
        return x[torch.arange(x.shape[0], device=x.device)[:, None], self.index]


@dataclass
class ModalityInput:
    """The input of one modality (tokens, pixels or frames) and its mask.

    ``mask`` has l = 1 for an image; a sample that lacks the modality is a row of False. If
    ``visible`` is set, a patch-based encoder processes only these patches. ``empty`` is True if it
    is known in advance that no sample of the batch has the modality. If ``encoded``, ``data`` is
    the encoder's output, [b, n, width], and ``mask`` refers to these tokens; if also ``of_body``,
    it is the output of the encoder's body, [b, n, c].
    """

    data: Shaped[Tensor, "b ..."]
    mask: Bool[Tensor, "b l"]
    visible: TokenIndex | None = None
    empty: bool = False
    encoded: bool = False
    of_body: bool = False

    def map(self, change: Callable[[Tensor], Tensor]) -> "ModalityInput":
        """Return the field with ``change`` applied to every tensor."""
        visible = self.visible and TokenIndex(change(self.visible.index), change(self.visible.mask))
        return replace(self, data=change(self.data), mask=change(self.mask), visible=visible)

    def split(self, size: int) -> "list[ModalityInput]":
        """Split the field into parts of ``size`` samples."""
        starts = range(0, len(self.mask), size)
        return [self.map(lambda x, i=i: x[i : i + size]) for i in starts]  # type: ignore[misc]


@dataclass(frozen=True)
class Patches:
    """Raw input cut into n patches of p values, before any learned layer.

    Patches are ordered by time step, ``places`` in each: all patches of an image, of a tubelet of
    frames, or of a segment of audio. ``position`` is the position of each patch.
    """

    x: Float[Tensor, "b n p"]
    mask: Bool[Tensor, "b n"]
    position: Float[Tensor, "#b n d"]
    patches_per_step: int


class Patchifier:
    """How an encoder that can process a subset of its patches cuts its input."""

    def __init__(
        self,
        numbers: int,
        width: int,
        maskings: Sequence[str],
        cut: Callable[[ModalityInput], Patches],
    ) -> None:
        """Describe the patches.

        Args:
            numbers: Number of values in a patch.
            width: Number of values in the position of a patch.
            maskings: Masking strategies (``layer/masking.py``) that the encoder supports, its
                default first.
            cut: Cuts an input into patches.
        """
        self.patch_values, self.width, self.maskings, self.cut_patches = (
            numbers,
            width,
            maskings,
            cut,
        )


@dataclass(frozen=True)
class Tokens:
    """Output of an encoder: n token vectors per sample, and the mask of the real ones."""

    x: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]

    @property
    def present(self) -> Bool[Tensor, " b"]:
        """True for samples with at least one token of this modality."""
        return self.mask.any(dim=1)

    def select(self, rows: Bool[Tensor, " b"]) -> "Tokens":
        """Return the tokens with those of all other samples masked and set to zero."""
        mask = self.mask & rows[:, None]
        return Tokens(self.x.masked_fill(~mask[..., None], 0), mask)


Streams = dict[str, Tokens]
IGNORE_INDEX = -100
"""Value of a missing target, torch's default ``ignore_index``; missing float targets are NaN."""
FUSED = "fused"
"""Name of the stream that feature-level fusion adds."""


@dataclass
class Batch:
    """Inputs by modality, targets by name, and the ids of the samples.

    ``read_errors`` lists the samples whose files could not be read (``id``, ``path``, ``reason``);
    they are included in the batch without any modality or target.

    A head in ``head_masks`` is trained on the samples of its mask only, a head in
    ``inactive_heads`` on none, and all other heads on all samples. ``corpus`` is the data set of
    all samples, if there are several.

    ``keys`` seed the model's random numbers for each sample (``counter_rng/tensors.py``); they
    depend on the ids, and in training also on the step. If a step has several batches, ``shares``
    are the weights of this batch in the loss of each head. ``prompt`` are the prompts of a language
    model with a text of each row, padded with IGNORE_INDEX. ``progress`` is the share of the
    training steps that are done, None outside of training.
    """

    inputs: dict[str, ModalityInput]
    targets: dict[str, Tensor] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    read_errors: list[dict[str, str]] = field(default_factory=list)
    head_masks: dict[str, Bool[Tensor, " b"]] = field(default_factory=dict)
    inactive_heads: frozenset[str] = frozenset()
    corpus: str | None = None
    keys: Int[Tensor, " b"] = None  # type: ignore[assignment]
    shares: dict[str, Tensor] = field(default_factory=dict)
    prompt: Int[Tensor, "b p"] | None = None
    progress: Float[Tensor, ""] | None = None

    def __post_init__(self) -> None:
        """Derive the keys from the ids."""
        if self.keys is None:
            self.keys = id_tensor(self.ids)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with ``change`` applied to every tensor."""
        inputs = {name: field.map(change) for name, field in self.inputs.items()}
        targets, head_masks = (
            {name: change(x) for name, x in group.items()}
            for group in (self.targets, self.head_masks)
        )
        keys = change(self.keys)
        prompt = None if self.prompt is None else change(self.prompt)
        return replace(
            self, inputs=inputs, targets=targets, head_masks=head_masks, keys=keys, prompt=prompt
        )

    def select(self, rows: Bool[Tensor, " b"]) -> "Batch":
        """Return the batch with every modality and target of all other samples masked."""
        inputs = {
            name: replace(field, mask=field.mask & rows[:, None])
            for name, field in self.inputs.items()
        }
        targets = {
            name: x.masked_fill(
                ~rows.view(-1, *[1] * (x.dim() - 1)), nan if x.is_floating_point() else IGNORE_INDEX
            )
            for name, x in self.targets.items()
        }
        return replace(self, inputs=inputs, targets=targets)

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        """Return the batch with every tensor on ``device``."""
        return self.map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, for asynchronous copies to a GPU."""
        return self.map(lambda x: x.pin_memory())

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Prediction:
    """Output of a head: the loss (None without targets), and tensors for metrics and commands.

    ``metrics`` are further averages over ``outputs["count"]`` items, such as the accuracy; they
    are logged in validation like the loss, but not optimized.
    """

    loss: Tensor | None
    outputs: dict[str, Tensor]
    metrics: dict[str, Tensor] = field(default_factory=dict)
