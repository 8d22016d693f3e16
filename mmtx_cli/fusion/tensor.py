"""Tensor fusion: products of the features of all modalities."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import PooledFusion

MAX_PRODUCTS = 1 << 17
"""Maximum number of products, which are the inputs of one linear layer."""


class TensorFusion(PooledFusion):
    """Tensor fusion network (Zadeh et al. 2017, eq. 1-2).

    A linear layer over the outer product of [1; z_m] over all modalities, which contains the
    products of every subset of them. Each z_m is a projection of a modality to ``width`` features.
    The product has (width + 1) ** modalities elements; ``low_rank`` is cheaper for many modalities.
    """

    def __init__(self, dim: int, modalities: Sequence[str], width: int = 12) -> None:
        super().__init__(dim, modalities)
        products = (width + 1) ** len(self.modalities)
        if width < 1 or products > MAX_PRODUCTS:
            raise ValueError(
                f"width={width} gives {products:,} products of {len(self.modalities)} modalities; "
                f"the limit is {MAX_PRODUCTS:,}: choose a smaller width, or fusion=low_rank"
            )
        self.reduce = nn.ModuleDict({m: nn.Linear(dim, width) for m in self.modalities})
        self.out = nn.Linear(products, dim)

    def combine(
        self, vectors: Mapping[str, Float[Tensor, "b d"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b d"]:
        """Combine the vectors; a missing modality is [1; 0]: only products with it vanish."""
        product = next(iter(vectors.values())).new_ones(next(iter(vectors.values())).shape[0], 1)
        for m, x in vectors.items():
            z = self.reduce[m](x) * present[m][:, None]
            factor = torch.cat([torch.ones_like(z[:, :1]), z], dim=1)
            product = (product[:, :, None] * factor[:, None]).flatten(1)
        return self.out(product)
