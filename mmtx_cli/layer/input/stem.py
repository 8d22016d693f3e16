"""From pixels to patch embeddings: strided convolutions over the image, or over each patch."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

STEMS = ("conv", "patch")
INVARIANT_STAGES = 2
"""Stages of ``ConvStem`` that normalize each channel by itself."""
LOW = 4
"""Rows and columns of mean colors in a patch, at most."""


class PatchStem(nn.Module):
    """Each patch by itself, merged in stages (hMLP, Touvron et al. 2022, "Three things everyone
    should know about Vision Transformers", section 5), and a projection of its mean colors.

    A patch depends on none of its neighbors, which masked pre-training needs. A stage merges
    squares of places and convolves within the patch; the norms are over the channels of one place.
    """

    def __init__(self, dim: int, patch_size: int, channels: int = 3) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.color = nn.Linear(channels * _low(patch_size) ** 2, dim)
        factors = _prime_factors(patch_size)
        sizes = [*[max(dim // 4, 32)] * (len(factors) - 1), dim]
        stages: list[nn.Module] = []
        for factor, out in zip(factors, sizes, strict=True):
            stages += [nn.Conv2d(channels, out, factor, stride=factor), ChannelNorm(out), nn.GELU()]
            patch_size //= factor
            if patch_size > 1:
                stages += [nn.Conv2d(out, out, 3, padding=1), ChannelNorm(out), nn.GELU()]
            channels = out
        self.stages = nn.Sequential(*stages, nn.Conv2d(dim, dim, 1))
        self.norm = nn.LayerNorm(dim)

    def forward(self, patches: Float[Tensor, "*b c p p"]) -> Float[Tensor, "*b d"]:
        """``patches`` are normalized pixels; one vector each."""
        x = patches.flatten(0, -4)
        x = self.norm(self.stages(x).flatten(1)) + self.color(
            _mean_colors(x, self.patch_size)[:, 0, 0]
        )
        return x.unflatten(0, patches.shape[:-3])


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Channels come first, as convolutions have them."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


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

    def __init__(self, dim: int, patch_size: int, recolor: bool = False) -> None:
        """``recolor`` shows the convolutions ``recolored`` images in training, so that they learn
        shapes in every color; the colors themselves come from the projection, which sees them.
        """
        super().__init__()
        self.recolor = recolor
        sizes = stage_sizes(dim, patch_size)
        # the last map may be a single cell, which has no mean of its own
        invariant = min(INVARIANT_STAGES, len(sizes) - 1)
        stages = (
            ConvStage(channels, out, per_channel=step < invariant)
            for step, (channels, out) in enumerate(zip([3, *sizes], sizes, strict=False))
        )
        self.stages = nn.Sequential(*stages, nn.Conv2d(sizes[-1], dim, 1))
        self.norm = nn.LayerNorm(dim)
        self.patch_size = patch_size
        self.color = nn.Linear(3 * _low(patch_size) ** 2, dim)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b y x d"]:
        """``images`` are normalized pixels; one vector a patch."""
        colors = self.color(_mean_colors(images, self.patch_size))
        seen = recolored(images) if self.training and self.recolor else images
        return self.norm(self.stages(seen).movedim(1, -1)) + colors


def recolored(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Shuffle the color channels of each image, and invert half of the images, at random."""
    b = len(images)
    order = torch.rand(b, 3, device=images.device).argsort(dim=1)
    sign = torch.randint(0, 2, (b, 1, 1, 1), device=images.device) * 2 - 1
    return images[torch.arange(b, device=images.device)[:, None], order] * sign


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


def stage_sizes(dim: int, patch_size: int) -> list[int]:
    """Channels of the stages that halve an image down to one cell a patch; the last has ``dim``.

    Raises:
        ValueError: if ``patch_size`` is not a power of two.
    """
    if patch_size < 2 or patch_size & (patch_size - 1):
        raise ValueError(
            f"stem=conv halves its input repeatedly: patch_size={patch_size} is not a power of "
            "two; change it or write stem=patch"
        )
    steps = patch_size.bit_length() - 1
    return [max(dim >> (steps - 1 - step), 16) for step in range(steps - 1)] + [dim]


def check_stem(stem: str) -> None:
    """Raise a ValueError if ``stem`` is unknown."""
    if stem not in STEMS:
        raise ValueError(f"stem={stem!r}: write {' or '.join(STEMS)}")


def check_tiled(image_size: int, patch_size: int) -> None:
    """Raise a ValueError if patches do not tile the image."""
    if image_size % patch_size:
        raise ValueError(f"image_size={image_size} is not a multiple of {patch_size=}")


def _low(patch_size: int) -> int:
    """The most rows of equal height, up to ``LOW``, that a patch divides into."""
    return max(rows for rows in range(1, LOW + 1) if patch_size % rows == 0)


def _mean_colors(images: Float[Tensor, "b c h w"], patch_size: int) -> Float[Tensor, "b y x n"]:
    """The mean colors within each patch, in ``_low`` rows and columns."""
    low = _low(patch_size)
    return F.pixel_unshuffle(F.avg_pool2d(images, patch_size // low), low).movedim(1, -1)


def _prime_factors(number: int) -> list[int]:
    """From small to large."""
    factors, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors
