"""Resize, crop and augment images to the square uint8 tensors of a batch."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.media.geometry import excess, padding, scaled_sides

Picture = UInt8[Tensor, "3 h w"]


def to_tensor(pixels: UInt8[np.ndarray, "h w 3"]) -> Picture:
    """Return a channels-first view of the pixels as a tensor."""
    return torch.from_numpy(pixels).permute(2, 0, 1)


def resize(
    pictures: UInt8[Tensor, "*n 3 h w"], height: int, width: int
) -> UInt8[Tensor, "*n 3 {height} {width}"]:
    """Resize uint8 images with antialiased bilinear interpolation, as ``v2.Resize`` does."""
    if pictures.shape[-2:] == (height, width):
        return pictures
    is_single = pictures.dim() == 3
    # torch resizes channels-last batches fastest; pictures[None] would not count as channels-last
    batch = pictures.permute(1, 2, 0)[None].permute(0, 3, 1, 2) if is_single else pictures
    resized = F.interpolate(batch, (height, width), mode="bilinear", antialias=True)
    return resized[0] if is_single else resized


def fit(
    pictures: UInt8[Tensor, "*n 3 h w"], size: int, how: str
) -> UInt8[Tensor, "*n 3 {size} {size}"]:
    """Resize one image, or each image of a batch, to ``size`` x ``size``.

    "crop" scales the shorter side to ``size`` and crops the center, exactly as torchvision's
    ``Resize`` and ``CenterCrop`` do; "pad" scales the longer side to ``size`` and pads with black;
    "squash" ignores the aspect ratio.
    """
    height, width = pictures.shape[-2:]
    inner = scaled_sides(height, width, size, how)
    resized = resize(pictures, *inner)
    if how == "pad":
        top, left = (padding(side, size) for side in inner)
        padded = pictures.new_zeros(*pictures.shape[:-2], size, size)
        padded[..., top : top + inner[0], left : left + inner[1]] = resized
        return padded
    top, left = (excess(side, size) for side in inner)
    return resized[..., top : top + size, left : left + size]


def fit_array(
    pixels: UInt8[np.ndarray, "h w 3"], size: int, how: str
) -> UInt8[np.ndarray, "3 {size} {size}"]:
    """Resize an image as ``fit`` does, from and to arrays."""
    return fit(to_tensor(pixels), size, how).contiguous().numpy()


def augmentation(
    size: int, scale: Sequence[float] = (1.0, 1.0), flip: bool = False, color: float = 0.0
) -> Callable[[Tensor], Tensor] | None:
    """Return a random crop, horizontal flip and color jitter, or None if all are disabled.

    Args:
        size: Side of the square output in pixels.
        scale: Smallest and largest area of the crop, as fractions of the image.
        flip: Flip half of the images. Off by default, since captions may mention left and right.
        color: Strength of the brightness, contrast and saturation jitter.
    """
    if tuple(scale) == (1.0, 1.0) and not flip and not color:
        return None
    from torchvision.transforms import v2

    steps: list[Callable] = []
    if tuple(scale) != (1.0, 1.0):
        steps.append(v2.RandomResizedCrop(size, scale=tuple(scale), antialias=True))
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    if color:
        steps.append(v2.ColorJitter(color, color, color))
    return v2.Compose(steps)


def augmented(
    picture: Picture, augment: Callable[[Tensor], Tensor], seed: int
) -> UInt8[Tensor, "3 _ _"]:
    """Apply ``augment`` with a seed of its own, leaving torch's global random state unchanged."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        return augment(picture)
    finally:
        torch.default_generator.set_state(state)
