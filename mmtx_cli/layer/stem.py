"""From pixels to patch embeddings: one normalized projection, or strided convolutions."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

STEMS = ("conv", "patch")
INVARIANT_STAGES = 2
"""Stages of ``ConvStem`` that normalize each channel by itself."""
LOW = 4
"""Rows and columns of mean colors in a patch."""


class PatchStem(nn.Module):
    """A linear projection of raw patches between two layer norms (Dual PatchNorm, Kumar et al.
    2023, section 4).

    Neighboring patches of an image share most of their pixels' mean, which would drown what tells
    one from another. The first norm removes it; the mean color is passed on beside the normalized
    pixels so that uniform patches keep theirs.
    """

    def __init__(self, patch_numel: int, dim: int, channels: int = 3) -> None:
        """``patch_numel`` is the number of values in a patch, ``channels`` first."""
        super().__init__()
        self.channels = channels
        self.norm_in = nn.LayerNorm(patch_numel)
        self.project = nn.Linear(patch_numel + channels, dim)
        self.norm_out = nn.LayerNorm(dim)

    def forward(self, patches: Float[Tensor, "*b p"]) -> Float[Tensor, "*b d"]:
        """``patches`` are normalized pixels, channel by channel."""
        color = patches.unflatten(-1, (self.channels, -1)).mean(dim=-1)
        return self.norm_out(self.project(torch.cat([self.norm_in(patches), color], dim=-1)))


class ConvStem(nn.Module):
    """Convolutional stages down to one cell a patch (Xiao et al. 2021, section 3), and a projection
    of the patch at low resolution.

    The first stages normalize each channel over the image, which makes what they detect
    independent of color and contrast (Ulyanov et al. 2017; compare IBN-Net, Pan et al. 2018): a
    shape is recognized in a color that it never had in training. The projection of the
    ``LOW`` x ``LOW`` mean colors of a patch brings the colors back. Nothing but the image itself
    has a part in the norms.

    Raises:
        ValueError: if ``patch_size`` is not a power of two.
    """

    def __init__(self, dim: int, patch_size: int) -> None:
        super().__init__()
        if patch_size < 2 or patch_size & (patch_size - 1):
            raise ValueError(
                f"stem=conv halves the image repeatedly: patch_size={patch_size} is not a power "
                "of two; change it or write stem=patch"
            )
        steps = patch_size.bit_length() - 1
        sizes = [max(dim >> (steps - 1 - step), 16) for step in range(steps)]
        # the last map may be a single cell, which has no mean of its own
        invariant = min(INVARIANT_STAGES, steps - 1)
        stages = (
            ConvStage(channels, out, per_channel=step < invariant)
            for step, (channels, out) in enumerate(zip([3, *sizes], sizes, strict=False))
        )
        self.stages = nn.Sequential(*stages, nn.Conv2d(sizes[-1], dim, 1))
        self.norm = nn.LayerNorm(dim)
        self.patch_size, self.low = patch_size, min(LOW, patch_size)
        self.color = nn.Linear(3 * self.low**2, dim)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b y x d"]:
        """``images`` are normalized pixels; one vector a patch."""
        colors = F.avg_pool2d(images, self.patch_size // self.low)
        colors = F.pixel_unshuffle(colors, self.low).movedim(1, -1)
        return self.norm(self.stages(images).movedim(1, -1)) + self.color(colors)


class ConvStage(nn.Sequential):
    """Halve the map, then a convolution at that size, each with a norm over the image and GELU.

    With the second one, small data tell shapes apart sooner than with strided convolutions alone.
    """

    def __init__(self, channels: int, out: int, per_channel: bool = False) -> None:
        """``per_channel`` normalizes each channel by itself, else all of them together."""
        groups = out if per_channel else 1
        super().__init__(
            nn.Conv2d(channels, out, 3, stride=2, padding=1),
            nn.GroupNorm(groups, out),
            nn.GELU(),
            nn.Conv2d(out, out, 3, padding=1),
            nn.GroupNorm(groups, out),
            nn.GELU(),
        )


def check_stem(stem: str, image_size: int, patch_size: int) -> None:
    """Check the arguments that vision Transformers share.

    Raises:
        ValueError: if ``stem`` is unknown or the patches do not tile the image.
    """
    if stem not in STEMS:
        raise ValueError(f"stem={stem!r}: write {' or '.join(STEMS)}")
    if image_size % patch_size:
        raise ValueError(f"image_size={image_size} is not a multiple of {patch_size=}")
