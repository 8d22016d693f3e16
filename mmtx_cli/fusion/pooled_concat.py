"""Concatenation of one pooled vector per modality, then an MLP."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import PooledFusion


class PooledConcatFusion(PooledFusion):
    """Standard feature-level fusion (Ngiam et al. 2011): concatenate pooled vectors, apply an MLP.

    A learned vector replaces a missing modality.
    """

    def __init__(
        self, dim: int, modalities: Sequence[str], mlp_ratio: float = 4.0, dropout: float = 0.0
    ) -> None:
        """``mlp_ratio`` is the width of the hidden layer relative to ``dim``."""
        super().__init__(dim, modalities)
        self.absent = nn.ParameterDict(
            {m: torch.empty(dim).normal_(std=0.02) for m in self.modalities}
        )
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(
            nn.Linear(dim * len(self.modalities), hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
        )

    def combine(
        self, vectors: Mapping[str, Float[Tensor, "b d"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b d"]:
        """Concatenate the vectors in the order of the modality names and apply the MLP."""
        inputs = [torch.where(present[m][:, None], x, self.absent[m]) for m, x in vectors.items()]
        return self.mlp(torch.cat(inputs, dim=1))
