"""Random choice of the patches that a masked objective hides.

Shape letters: b batch, n patches, k of them, g sampling groups, s patches per group.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmtx_cli.types import TokenIndex

MASKINGS = ("random", "moment", "tube")
"""How hidden patches are chosen.

- "random": over all patches (He et al. 2022).
- "moment": equally many at every time step.
- "tube": the same patches at every time step (Tong et al. 2022).
"""


def split_patches(
    mask: Bool[Tensor, "b n"],
    ratio: float,
    masking: str,
    per_step: int,
    scores: Float[Tensor, "b n"],
) -> tuple[TokenIndex, TokenIndex]:
    """Return the visible and the hidden patches of each sample.

    In each group, the share ``ratio`` of the real patches with the highest scores is hidden; at
    least one stays visible.

    Args:
        mask: Real patches.
        ratio: Share of the real patches to hide.
        masking: One of ``MASKINGS``.
        per_step: Number of patches per time step.
        scores: Random scores.
    """
    n = mask.shape[1]
    size = n if masking == "random" else per_step
    real, scores = mask.unflatten(1, (-1, size)), scores.unflatten(1, (-1, size))
    if masking == "tube":
        scores = scores[:, :1].expand_as(scores)
    order = scores.masked_fill(~real, torch.inf).argsort(dim=2, stable=True)
    count = real.sum(dim=2, keepdim=True)
    num_hidden = torch.minimum((count * ratio).floor().long(), (count - 1).clamp(min=0))
    max_hidden = min(math.floor(size * ratio), size - 1)  # maximum hidden per group
    offset = torch.arange(n // size, device=mask.device)[:, None] * size

    def select(start: Tensor, num_selected: Tensor, num_slots: int) -> TokenIndex:
        slot = torch.arange(num_slots, device=mask.device)
        index = order.gather(2, (start + slot).clamp(max=size - 1)) + offset
        return TokenIndex(index.flatten(1), (slot < num_selected).flatten(1))

    visible = select(torch.zeros_like(count), count - num_hidden, size - max_hidden)
    return visible, select(count - num_hidden, num_hidden, max_hidden)


def lowest_scored(
    mask: Bool[Tensor, "b n"], ratio: float, scores: Float[Tensor, "b n"]
) -> TokenIndex:
    """Return the share ``ratio`` of each sample's real elements with the lowest scores.

    At least one element per sample is chosen.
    """
    max_count = max(1, round(mask.shape[1] * ratio))
    count = (mask.sum(dim=1) * ratio).round().long().clamp(min=1)
    index = scores.masked_fill(~mask, torch.inf).argsort(dim=1, stable=True)[:, :max_count]
    slot = torch.arange(index.shape[1], device=mask.device)
    return TokenIndex(index, (slot < count[:, None]) & mask.gather(1, index))
