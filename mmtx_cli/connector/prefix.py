"""A projection of the context tokens to the language model (LLaVA, Liu et al. 2023)."""

from math import isqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.connector.base import Connector
from mmtx_cli.layer.context import Context
from mmtx_cli.types import Tokens


class PrefixConnector(Connector):
    """Projects every context token by a two-layer perceptron to an embedding of the model.

    Each stream may first be pooled to ``num_tokens``: over the cells of a grid if both numbers of
    tokens are squares (an image), else along the sequence (video, audio, text).
    """

    def __init__(
        self,
        dim: int,
        width: int,
        scale: float,
        streams: int = 1,
        num_tokens: int | None = None,
        hidden: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        """``num_tokens`` is the maximum number of tokens of a stream; null keeps all.

        ``hidden`` is the width of the hidden layer, by default that of the language model.
        """
        super().__init__(dim, streams, None if num_tokens is None else streams * num_tokens)
        if num_tokens is not None and num_tokens < 1:
            raise ValueError(f"num_tokens={num_tokens}: must be at least 1, or null for all tokens")
        self.num_tokens = num_tokens
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Sequential(
            nn.Linear(dim, hidden or width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden or width, width),
        )
        # tokens as large as the embeddings among which they stand
        self.out = nn.LayerNorm(width)
        nn.init.constant_(self.out.weight, scale)
        self.kind = nn.Parameter(torch.zeros(streams, width))

    def forward(self, context: Context) -> Tokens:
        """Return up to ``num_tokens`` tokens of each stream."""
        parts = [
            pooled(x, mask, self.num_tokens)
            for x, mask in zip(
                context.x.split(context.sizes, dim=1),
                context.mask.split(context.sizes, dim=1),
                strict=True,
            )
        ]
        x = torch.cat(
            [
                self.out(self.project(self.norm(x))) + kind
                for (x, _), kind in zip(parts, self.kind, strict=True)
            ],
            dim=1,
        )
        mask = torch.cat([mask for _, mask in parts], dim=1)
        return Tokens(x * mask[..., None], mask)


def pooled(
    x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"], num_tokens: int | None
) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b m"]]:
    """Return means of neighboring real tokens; a mean of no real token is masked."""
    if num_tokens is None or x.shape[1] <= num_tokens:
        return x, mask
    weights = pooling(x.shape[1], num_tokens).to(x)
    count = mask.to(x) @ weights.T
    total = weights @ (x * mask[..., None])
    return total / count.clamp(min=1e-6)[..., None], count > 0


def pooling(n: int, m: int) -> Float[Tensor, "m n"]:
    """Return which of n tokens each of m means averages."""
    if isqrt(n) ** 2 == n and isqrt(m) ** 2 == m:
        side = windows(isqrt(n), isqrt(m))
        return torch.kron(side, side)
    return windows(n, m)


def windows(n: int, m: int) -> Float[Tensor, "m n"]:
    """Return m windows over n places, as adaptive average pooling cuts them."""
    place, window = torch.arange(n), torch.arange(m)[:, None]
    start, stop = window * n // m, -((window + 1) * -n // m)
    return ((place >= start) & (place < stop)).float()
