"""Sum of one projected vector per modality: the additive fusion baseline."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import PooledFusion


class SumFusion(PooledFusion):
    """Sum of one linear projection per modality, without interactions between modalities.

    The additive baseline of multimodal learning (Baltrusaitis et al. 2019, sec. 5).
    """

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__(dim, modalities)
        self.linear = nn.ModuleDict({m: nn.Linear(dim, dim) for m in self.modalities})

    def combine(
        self, vectors: Mapping[str, Float[Tensor, "b d"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b d"]:
        """Sum over the modalities that are present."""
        projected = [self.linear[m](x) * present[m][:, None] for m, x in vectors.items()]
        return torch.stack(projected).sum(dim=0)
