"""The pictures and films of each input, as a processor takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from mmtx_cli.layer.context import Context

RAW = ("image", "video")
"""Modalities that published models read."""


@dataclass(frozen=True)
class Visual:
    """The pictures [3, h, w] and the film [t, 3, h, w], if any, of one input."""

    images: Sequence[UInt8[Tensor, "3 h w"]] = ()
    video: UInt8[Tensor, "t 3 h w"] | None = None

    @property
    def kind(self) -> tuple[int, int]:
        """Number of pictures, and of frames: inputs of a kind can be processed together."""
        return len(self.images), 0 if self.video is None else len(self.video)


def visuals(context: Context, trim: bool = False) -> list[Visual]:
    """Return the pictures and the film of each input of a context with raw input.

    A picture whose token is masked is missing; one whose token is zero is black. ``trim`` removes
    black bars of equal width on two opposite sides.
    """
    assert context.raw is not None, "the head provides the raw input"
    parts = {
        name: (context.raw[name], x, mask)
        for name, x, mask in zip(
            context.raw,
            context.x.split(context.sizes, dim=1),
            context.mask.split(context.sizes, dim=1),
            strict=True,
        )
    }
    found = []
    for i in range(len(context)):
        shown = {
            name: _present(field.data[i], x[i], mask[i]) for name, (field, x, mask) in parts.items()
        }
        pictures, frames = (list(shown.get(name, ())) for name in RAW)
        if trim:
            pictures = [without_bars(picture) for picture in pictures]
        film = torch.stack(frames) if frames else None
        found.append(Visual(pictures, without_bars(film) if trim and frames else film))
    return found


def _present(
    data: UInt8[Tensor, "f 3 h w"], x: Float[Tensor, "l d"], mask: Bool[Tensor, " l"]
) -> UInt8[Tensor, "n 3 h w"]:
    if not mask.any():  # a batch without the modality has a single masked token
        return data[:0]
    return data.masked_fill((x == 0).all(dim=-1)[:, None, None, None], 0)[mask]


def grouped(found: Sequence[Visual]) -> list[list[int]]:
    """Return the indices of the inputs with equal numbers of pictures and frames, by kind."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, visual in enumerate(found):
        groups.setdefault(visual.kind, []).append(i)
    return list(groups.values())


def without_bars(x: Any) -> Any:
    """Return pictures [..., 3, h, w] without black bars, of equal width (up to a pixel) on opposite
    sides.
    """
    for dim in (-2, -1):
        others = tuple(i for i in range(x.dim()) if i != x.dim() + dim)
        real = (x != 0).any(dim=others).nonzero()
        if not len(real):
            return x
        before, after = int(real[0]), x.shape[dim] - 1 - int(real[-1])
        bar = min(before, after)
        if abs(before - after) <= 1:
            x = x.narrow(dim, before, x.shape[dim] - before - after)
        elif bar:
            x = x.narrow(dim, bar, x.shape[dim] - 2 * bar)
    return x
