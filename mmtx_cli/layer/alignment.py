"""Contrastive losses in memory that is linear in the batch.

The logits of all pairs are never held: they are made a few rows at a time, and with them, while
they are there, the gradients. Shape letters: q queries, k keys, d width.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

PIECE = {"cpu": 1 << 20, "other": 1 << 25}
"""Logits held at a time: what a processor's cache holds, or what fills a GPU."""


def infonce(
    queries: Float[Tensor, "q d"],
    keys: Float[Tensor, "k d"],
    scale: Float[Tensor, ""],
    partner: Int[Tensor, " q"],
    asks: Bool[Tensor, " q"],
    there: Bool[Tensor, " k"],
) -> Float[Tensor, ""]:
    """Sum over the queries that ``asks`` of the cross-entropy to find their ``partner``.

    ``there`` are the keys to choose from (van den Oord et al. 2018, eq. 4; Radford et al. 2021).
    """
    return _Sum.apply(queries, keys, scale, None, partner, asks, there)


def sigmoid(
    queries: Float[Tensor, "q d"],
    keys: Float[Tensor, "k d"],
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
    partner: Int[Tensor, " q"],
    asks: Bool[Tensor, " q"],
    there: Bool[Tensor, " k"],
) -> Float[Tensor, ""]:
    """Sum over all pairs of the binary cross-entropy: is the key the query's ``partner``?

    Zhai et al. 2023, algorithm 1.
    """
    return _Sum.apply(queries, keys, scale, bias, partner, asks, there)


class _Sum(torch.autograd.Function):
    """Sum of a loss over rows of logits, whose gradient is made as soon as a row is."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        partner: Tensor,
        asks: Tensor,
        there: Tensor,
    ) -> Tensor:
        total = scale.new_zeros(())
        learns = any(ctx.needs_input_grad)
        made = [torch.zeros_like(x) for x in (queries, keys, scale)] if learns else []
        shift = torch.zeros_like(scale)
        piece = PIECE.get(queries.device.type, PIECE["other"])
        for rows in torch.arange(len(queries), device=queries.device).split(
            max(1, piece // max(1, len(keys)))
        ):
            alike = queries[rows] @ keys.T
            slope, loss = slopes(alike * scale, bias, partner[rows], asks[rows], there)
            total = total + loss
            if learns:
                made[2] += (slope * alike).sum()
                shift += slope.sum()
                slope *= scale
                made[0][rows] = slope @ keys
                made[1].addmm_(slope.T, queries[rows])
        ctx.save_for_backward(*made, shift)
        ctx.biased = bias is not None
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, scale, bias = (grads[0] * x for x in ctx.saved_tensors)
        return queries, keys, scale, bias if ctx.biased else None, None, None, None


def slopes(
    logits: Float[Tensor, "q k"],
    bias: Tensor | None,
    partner: Int[Tensor, " q"],
    asks: Bool[Tensor, " q"],
    there: Bool[Tensor, " k"],
) -> tuple[Float[Tensor, "q k"], Float[Tensor, ""]]:
    """The gradient of the summed loss by the logits, and that loss."""
    own = partner[:, None]
    if bias is not None:
        z = logits + bias
        z.scatter_(1, own, -z.gather(1, own))  # what is to be below zero
        counts = asks[:, None] & there
        slope = z.sigmoid().mul_(counts)
        loss = (F.softplus(z) * counts).sum()
        return slope.scatter_(1, own, -slope.gather(1, own)), loss
    logits = logits.masked_fill(~there, -torch.inf)
    logits.masked_fill_(~asks[:, None], 0)  # nothing to find: any numbers that are finite
    most = logits.logsumexp(dim=1, keepdim=True)
    loss = ((most - logits.gather(1, own))[:, 0] * asks).sum()
    slope = (logits - most).exp_()
    slope.scatter_add_(1, own, -torch.ones_like(own, dtype=slope.dtype))
    return slope.mul_(asks[:, None]), loss
