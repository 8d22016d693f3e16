"""Pixel normalization on the device: from bytes to the floats that a network expects."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PIECE = 1 << 18
"""Number of values normalized at a time."""


class Pixels(nn.Module):
    """``(x / 255 - mean) / std`` per channel; float input is assumed to be in 0..1 already."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Shaped[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
        """Normalize a batch of images on its device."""
        if x.is_floating_point():
            return (x - self.mean) / self.std
        scale, shift = (1 / (255 * self.std)).to(self.mean.dtype), self.mean / self.std
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return (x * scale).sub_(shift)
        # process pieces that fit into the CPU cache
        out = torch.empty(x.shape, dtype=scale.dtype)
        shape = -1, *x.shape[-3:]
        size = max(1, PIECE // max(1, math.prod(shape[1:])))
        pieces = out.view(shape).split(size), x.reshape(shape).split(size)
        for piece, data in zip(*pieces, strict=True):
            piece.copy_(data).mul_(scale).sub_(shift)
        return out
