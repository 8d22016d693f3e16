"""Pooling of tokens into one vector."""

from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b d"]:
    """Return the mean of the real tokens; zeros if there are none."""
    total = x.masked_fill(~mask[..., None], 0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)
