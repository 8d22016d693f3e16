"""Patch embeddings: strided convolutions over the image, or over each patch separately."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

STEMS = ("conv", "patch")
INVARIANT_STAGES = 2
"""Number of stages of ``ConvStem`` that normalize each channel separately."""
LOW = 4
"""Maximum number of rows and columns of mean colors in a patch."""


class PatchStem(nn.Module):
    """Embed each patch separately: hierarchical convolutions plus a projection of mean colors.

    The convolutions merge patches in stages (hMLP, Touvron et al. 2022, "Three things everyone
    should know about Vision Transformers", section 5). A patch does not depend on its neighbors,
    which masked pretraining needs. Each stage merges squares of positions and convolves within the
    patch; norms are over the channels of one position.
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
        """Return one vector per patch; ``patches`` are normalized pixels."""
        x = patches.flatten(0, -4)
        x = self.norm(self.stages(x).flatten(1)) + self.color(
            _mean_colors(x, self.patch_size)[:, 0, 0]
        )
        return x.unflatten(0, patches.shape[:-3])


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalize a channels-first map."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ConvStem(nn.Module):
    """Convolutional stages down to one cell per patch, plus a projection of mean colors.

    Xiao et al. 2021, section 3. The first stages normalize each channel over the image, which makes
    features independent of color and contrast (Ulyanov et al. 2017; compare IBN-Net, Pan et al.
    2018): shapes are recognized in colors that never occurred in training. The projection of a
    patch's ``LOW`` x ``LOW`` mean colors adds the color information. Norms depend on a single image
    only.

    Raises:
        ValueError: If ``patch_size`` is not a power of two.
    """

    def __init__(self, dim: int, patch_size: int, recolor: bool = False) -> None:
        """``recolor`` applies ``recolored`` to the input of the convolutions in training.

        They learn shapes in every color; the projection of mean colors sees the original colors.
        """
        super().__init__()
        self.recolor = recolor
        sizes = stage_sizes(dim, patch_size)
        # the last map may be a single cell, whose normalization would be zero
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
        """Return one vector per patch; ``images`` are normalized pixels."""
        colors = self.color(_mean_colors(images, self.patch_size))
        inputs = recolored(images) if self.training and self.recolor else images
        return self.norm(self.stages(inputs).movedim(1, -1)) + colors


def recolored(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Randomly shuffle the color channels of each image and invert half of the images."""
    b = images.shape[0]
    order = torch.rand(b, 3, device=images.device).argsort(dim=1)
    sign = torch.randint(0, 2, (b, 1, 1, 1), device=images.device) * 2 - 1
    return images[torch.arange(b, device=images.device)[:, None], order] * sign


class ConvStage(nn.Sequential):
    """Strided convolution and convolution, each with a norm over the image and GELU.

    The second convolution makes shapes easier to learn from little data than strided convolutions
    alone.
    """

    def __init__(self, channels: int, out: int, per_channel: bool = False) -> None:
        """``per_channel`` normalizes each channel separately, instead of all of them jointly."""
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
    """Return the channels of stages that downsample to one cell per patch; the last has ``dim``.

    Raises:
        ValueError: If ``patch_size`` is not a power of two.
    """
    if patch_size < 2 or patch_size & (patch_size - 1):
        raise ValueError(
            f"stem=conv halves its input repeatedly: patch_size={patch_size} is not a power of "
            "two; change it or use stem=patch"
        )
    steps = patch_size.bit_length() - 1
    return [max(dim >> (steps - 1 - step), 16) for step in range(steps - 1)] + [dim]


def check_stem(stem: str) -> None:
    """Raise ValueError if ``stem`` is unknown."""
    if stem not in STEMS:
        raise ValueError(f"stem={stem!r}: must be {' or '.join(STEMS)}")


def check_tiled(image_size: int, patch_size: int) -> None:
    """Raise ValueError if patches do not tile the image."""
    if image_size % patch_size:
        raise ValueError(f"image_size={image_size} is not a multiple of {patch_size=}")


def _low(patch_size: int) -> int:
    """Return the maximum number of equal rows, up to ``LOW``, that divide a patch."""
    return max(rows for rows in range(1, LOW + 1) if patch_size % rows == 0)


def _mean_colors(images: Float[Tensor, "b c h w"], patch_size: int) -> Float[Tensor, "b y x n"]:
    """Return the mean colors of each patch, in ``_low`` rows and columns."""
    low = _low(patch_size)
    return F.pixel_unshuffle(F.avg_pool2d(images, patch_size // low), low).movedim(1, -1)


def _prime_factors(number: int) -> list[int]:
    """Return the prime factors in ascending order."""
    factors, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors
