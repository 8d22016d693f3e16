"""Gated multimodal unit: a weight per feature and modality."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import PooledFusion


class GatedFusion(PooledFusion):
    """Gated multimodal unit (Arevalo et al. 2017, eq. 1-5): sum of z_m * tanh(W_m x_m).

    Every gate sees all modalities. The gates of a feature are a softmax over the modalities that
    are present: for two modalities, z and 1 - z with a sigmoid z as in the paper.
    """

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__(dim, modalities)
        self.hidden = nn.ModuleDict({m: nn.Linear(dim, dim) for m in self.modalities})
        self.gate = nn.Linear(dim * len(self.modalities), dim * len(self.modalities))

    def combine(
        self, vectors: Mapping[str, Float[Tensor, "b d"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b d"]:
        """Average each feature over the modalities, weighted by its gates."""
        hidden = torch.stack([self.hidden[m](x).tanh() for m, x in vectors.items()], dim=1)
        gates = self.gate(torch.cat([*vectors.values()], dim=1)).view_as(hidden)
        mask = torch.stack([present[m] for m in vectors], dim=1)[..., None]
        return (hidden * masked_softmax(gates, mask)).sum(dim=1)


def masked_softmax(
    x: Float[Tensor, "b m d"], mask: Bool[Tensor, "b m 1"]
) -> Float[Tensor, "b m d"]:
    """Softmax over the modalities where ``mask`` is True; zeros if there are none."""
    unmasked = mask | ~mask.any(dim=1, keepdim=True)
    return x.masked_fill(~unmasked, float("-inf")).softmax(dim=1) * mask
