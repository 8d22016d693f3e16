"""Contrastive losses in memory that is linear in the batch.

The logits of all pairs are never held: they are made a few rows at a time, and with them, while
they are there, the gradients. Shape letters: q queries, k keys, d width.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.distributed.collectives import gather

PIECE = {"cpu": 1 << 20, "other": 1 << 25}
"""Logits held at a time: what a processor's cache holds, or what fills a GPU."""


def infonce(
    queries: Float[Tensor, "q d"],
    keys: Float[Tensor, "k d"],
    scale: Float[Tensor, ""],
    partner: Int[Tensor, " q"],
    asks: Bool[Tensor, " q"],
    there: Bool[Tensor, " k"],
    shared: bool = False,
) -> Float[Tensor, ""]:
    """Sum over the queries that ``asks`` of the mean of two cross-entropies: to find the query's
    ``partner`` among the keys, and that key's query among the queries of all processes.

    ``there`` are the keys that are partners of queries of any process (van den Oord et al. 2018,
    eq. 4; Radford et al. 2021, figure 3). ``shared``: are there other processes to ask?
    """
    return _BothWays.apply(queries, keys, scale, partner, asks, there, shared)


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
    return _EachPair.apply(queries, keys, scale, bias, partner, asks, there)


def pieces(queries: Tensor, keys: Tensor) -> Iterator[slice]:
    """The queries whose logits are held together."""
    piece = PIECE.get(queries.device.type, PIECE["other"])
    size = max(1, piece // max(1, len(keys)))
    return (slice(i, i + size) for i in range(0, len(queries), size))


class _BothWays(torch.autograd.Function):
    """Once over all logits for the normalisers of rows and columns, once for the gradients.

    A process makes the gradient of everyone's loss by its own rows of logits: those by the keys
    are summed where they were gathered.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        scale: Tensor,
        partner: Tensor,
        asks: Tensor,
        there: Tensor,
        shared: bool,
    ) -> Tensor:
        def logits(rows: slice) -> Tensor:
            alike = (queries[rows] * scale) @ keys.T
            alike.masked_fill_(~there, -torch.inf)
            return alike.masked_fill_(~asks[rows, None], -torch.inf)

        row = queries.new_empty(len(queries))
        column = keys.new_full((len(keys),), -torch.inf)
        for rows in pieces(queries, keys):
            found = logits(rows)
            row[rows] = found.logsumexp(dim=1)
            column = torch.logaddexp(column, found.logsumexp(dim=0))
        column = gather(column[None], shared).logsumexp(dim=0)
        # where there is nothing, any number that is finite
        row, column = (x.masked_fill(x == -torch.inf, 0) for x in (row, column))
        own = scale * (queries * keys[partner]).sum(dim=1)
        loss = (((row + column[partner]) / 2 - own) * asks).sum()
        if not any(ctx.needs_input_grad):
            return loss
        made = torch.empty_like(queries), torch.zeros_like(keys)
        for rows in pieces(queries, keys):
            found = logits(rows)
            slope = (found - column).exp_()
            slope += found.sub_(row[rows, None]).exp_()
            slope /= 2
            slope.scatter_add_(1, partner[rows, None], -asks[rows, None].to(slope.dtype))
            made[0][rows] = slope @ keys
            made[1].addmm_(slope.T, queries[rows])
        scaled = (made[0] * queries).sum()
        ctx.save_for_backward(*(x.mul_(scale) for x in made), scaled)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, scale = (grads[0] * x for x in ctx.saved_tensors)
        return queries, keys, scale, None, None, None, None


class _EachPair(torch.autograd.Function):
    """Sum of a loss over rows of logits, whose gradient is made as soon as a row is."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        scale: Tensor,
        bias: Tensor,
        partner: Tensor,
        asks: Tensor,
        there: Tensor,
    ) -> Tensor:
        total, shift = torch.zeros_like(scale), torch.zeros_like(scale)
        learns = any(ctx.needs_input_grad)
        made = [torch.zeros_like(x) for x in (queries, keys)] if learns else []
        for rows in pieces(queries, keys):
            own, counts = partner[rows, None], asks[rows, None] & there
            z = ((queries[rows] * scale) @ keys.T).add_(bias)
            z.scatter_(1, own, -z.gather(1, own))  # what is to be below zero
            total += (F.softplus(z) * counts).sum()
            if learns:
                slope = z.sigmoid_().mul_(counts)
                slope.scatter_(1, own, -slope.gather(1, own))
                shift += slope.sum()
                made[0][rows] = slope @ keys
                made[1].addmm_(slope.T, queries[rows])
        scaled = (made[0] * queries).sum() if learns else shift
        ctx.save_for_backward(*(x.mul_(scale) for x in made), scaled, shift)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *(grads[0] * x for x in ctx.saved_tensors), None, None, None
