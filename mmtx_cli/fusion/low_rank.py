"""Low-rank tensor fusion."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import PooledFusion


class LowRankFusion(PooledFusion):
    """Low-rank multimodal fusion (Liu et al. 2018, eq. 5-7).

    The weight tensor is a sum of ``rank`` outer products, so that the tensor of feature products is
    never computed and the cost is linear in the number of modalities: h = sum over r of w_r *
    product over m of W_m,r [1; x_m]. The constant part of each factor is initialized to 1, so that
    the products start near a sum.
    """

    def __init__(self, dim: int, modalities: Sequence[str], rank: int = 4) -> None:
        super().__init__(dim, modalities)
        if rank < 1:
            raise ValueError(f"rank={rank}: must be at least 1")
        self.rank = rank
        self.factor = nn.ModuleDict({m: nn.Linear(dim, rank * dim) for m in self.modalities})
        self.weight = nn.Parameter(torch.full((rank, 1), 1 / rank))
        self.bias = nn.Parameter(torch.zeros(dim))
        for linear in self.factor.values():
            nn.init.ones_(linear.bias)  # type: ignore[arg-type]

    def combine(
        self, vectors: Mapping[str, Float[Tensor, "b d"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b d"]:
        """Multiply the factors of the modalities; that of a missing one is its constant part."""
        product: Tensor | float = 1.0
        for m, x in vectors.items():
            product = product * self.factor[m](x).unflatten(1, (self.rank, self.dim))
        assert isinstance(product, Tensor)
        return (product * self.weight).sum(dim=1) + self.bias
