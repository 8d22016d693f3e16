"""Masks of sequences: their length, and masks of downsampled sequences."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F


def sequence_lengths(mask: Bool[Tensor, "b l"]) -> Int[Tensor, " b"]:
    """Return the index after the last real element; 0 if there is none."""
    positions = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask * positions).amax(dim=1)


def downsample_mask(mask: Bool[Tensor, "b l"], stride: int) -> Bool[Tensor, "b n"]:
    """Downsample a mask by ``stride``; an element is True if any of its inputs is.

    n is l / ``stride``, rounded up.
    """
    padded = F.pad(mask, (0, -mask.shape[1] % stride))
    return padded.unflatten(1, (-1, stride)).any(dim=2)
