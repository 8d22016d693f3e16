"""Contrastive losses whose memory is linear in the batch size.

The logits of all pairs are never stored: they are computed for a few rows at a time, together with
their gradients. Shape letters: q queries, k keys, d width.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.distributed.collectives import gather

PIECE = {"cpu": 1 << 20, "other": 1 << 25}
"""Number of logits computed at a time: what fits a CPU's cache, or fills a GPU."""


def infonce(
    queries: Float[Tensor, "q d"],
    keys: Float[Tensor, "k d"],
    scale: Float[Tensor, ""],
    partner: Int[Tensor, " q"],
    asks: Bool[Tensor, " q"],
    there: Bool[Tensor, " k"],
    shared: bool = False,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE loss, summed over the queries where ``asks`` is True.

    The loss of a query is the mean of two cross-entropies: of its positive among the keys, and of
    the query among the queries of all processes for that key (van den Oord et al. 2018, eq. 4;
    Radford et al. 2021, figure 3).

    Args:
        queries: Embeddings of this process.
        keys: Embeddings of all processes.
        scale: Factor of the similarities (inverse temperature).
        partner: Index of each query's positive key.
        asks: Queries that have a positive key.
        there: Keys that are the positive of a query of any process.
        shared: Whether there are other processes.
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
    """Sum over all pairs of the binary cross-entropy of whether the key is the query's positive.

    Zhai et al. 2023, algorithm 1.

    Args:
        queries: Embeddings of this process.
        keys: Embeddings of all processes.
        scale: Factor of the similarities (inverse temperature).
        bias: Added to all logits.
        partner: Index of each query's positive key.
        asks: Queries that have a positive key.
        there: Keys that are the positive of a query of any process.
    """
    return _EachPair.apply(queries, keys, scale, bias, partner, asks, there)


def pieces(queries: Tensor, keys: Tensor) -> Iterator[slice]:
    """Yield slices of queries whose logits are computed together."""
    piece = PIECE.get(queries.device.type, PIECE["other"])
    size = max(1, piece // max(1, len(keys)))
    return (slice(i, i + size) for i in range(0, len(queries), size))


class _BothWays(torch.autograd.Function):
    """InfoNCE in two passes over the logits: normalizers of rows and columns, then gradients.

    A process computes the gradient of all processes' losses through its own rows of logits;
    gradients of the keys are summed across processes where they were gathered.
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
        # any finite value will do for masked rows and columns
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
    """Sum of a pairwise loss over rows of logits; the gradient is computed with each row."""

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
            z.scatter_(1, own, -z.gather(1, own))  # the loss pushes z below zero
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
