"""One vector a modality, side by side, through an MLP."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import PooledFusion


class PooledConcatFusion(PooledFusion):
    """Feature-level fusion as it is commonly meant (Ngiam et al. 2011): concatenate and transform.

    A learned vector stands where a modality is absent.
    """

    def __init__(
        self, dim: int, modalities: Sequence[str], mlp_ratio: float = 4.0, dropout: float = 0.0
    ) -> None:
        """The hidden layer is ``mlp_ratio`` times as wide as ``dim``."""
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
        """Concatenated in the order of the names."""
        each = [torch.where(present[m][:, None], x, self.absent[m]) for m, x in vectors.items()]
        return self.mlp(torch.cat(each, dim=1))
