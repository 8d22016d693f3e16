"""Parts of models that were replaced since, with the former names of their tensors."""

from abc import ABCMeta
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.input.stem import PatchStem


class Restoring(ABCMeta):
    """Calls ``_restore`` after construction, so that the signature stays the present class's."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Build an object and restore its former parts."""
        made = super().__call__(*args, **kwargs)
        made._restore()
        return made


class Projection(PatchStem):
    """One linear projection of the pixels of a patch, with the shape of a convolution's kernel."""

    def __init__(self, dim: int, shape: tuple[int, ...]) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.zeros(dim, *shape))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, patches: Float[Tensor, "*b c p p"]) -> Float[Tensor, "*b d"]:
        """Return one vector per patch."""
        return F.linear(patches.flatten(-3), self.weight.flatten(1), self.bias)


class Convolutions(nn.Sequential):
    """Convolutions of stride 2 down to one cell per patch, each with a norm over the image."""

    def __init__(self, dim: int, patch_size: int) -> None:
        steps = patch_size.bit_length() - 1
        sizes = [3, *(max(dim >> step, 8) for step in reversed(range(steps)))]
        layers: list[nn.Module] = []
        for channels, out in pairwise(sizes):
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.GroupNorm(1, out)]
            layers.append(nn.GELU())
        super().__init__(*layers, nn.Conv2d(sizes[-1], dim, 1))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b y x d"]:
        """Return one vector per patch."""
        return super().forward(images).movedim(1, -1)


class AttentionPool(nn.Module):
    """Learned queries that attend to the tokens of a frame (Lee et al. 2019, section 3.2)."""

    def __init__(self, dim: int, count: int, num_heads: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(count, dim))
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b k d"]:
        """Return one token per query."""
        queries = self.queries.expand(x.shape[0], -1, -1)
        return queries + self.attention(queries, self.norm(x), mask)


class Nothing(nn.Module):
    """Zeros of the input's shape, in place of a part that did not exist."""

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(x)
