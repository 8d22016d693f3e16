"""All products of the features of all modalities."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import PooledFusion

MOST = 1 << 17
"""Products that one linear layer may still read."""


class TensorFusion(PooledFusion):
    """The tensor fusion network (Zadeh et al. 2017, eq. 1-2): outer product of [1; z_m] over all
    modalities, so of every subset of them, and a linear layer over it.

    Each z_m is a linear map of a modality to ``width`` features. The product has
    (width + 1) ** modalities elements: of many modalities, ``low_rank`` is the cheap form.
    """

    def __init__(self, dim: int, modalities: Sequence[str], width: int = 12) -> None:
        super().__init__(dim, modalities)
        products = (width + 1) ** len(self.modalities)
        if width < 1 or products > MOST:
            raise ValueError(
                f"width={width} makes {products:,} products of {len(self.modalities)} modalities; "
                f"up to {MOST:,} are possible: choose a smaller width, or fusion=low_rank"
            )
        self.reduce = nn.ModuleDict({m: nn.Linear(dim, width) for m in self.modalities})
        self.out = nn.Linear(products, dim)

    def combine(
        self, vectors: Mapping[str, Float[Tensor, "b d"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b d"]:
        """An absent modality is [1; 0]: its products vanish, those of the others stay."""
        product = next(iter(vectors.values())).new_ones(len(next(iter(vectors.values()))), 1)
        for m, x in vectors.items():
            z = self.reduce[m](x) * present[m][:, None]
            factor = torch.cat([torch.ones_like(z[:, :1]), z], dim=1)
            product = (product[:, :, None] * factor[:, None]).flatten(1)
        return self.out(product)
