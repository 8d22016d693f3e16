"""Contrastive losses whose memory is linear in the batch size.

The logits of all pairs are never stored: they are computed for a few rows at a time, together with
their gradients. Shape letters: q queries, k keys, d width.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.distributed.collectives import gather, pass_on, rank, world_size

PIECE = {"cpu": 1 << 20, "other": 1 << 25}
"""Number of logits computed at a time: what fits a CPU's cache, or fills a GPU."""


def infonce(
    queries: Float[Tensor, "q d"],
    keys: Float[Tensor, "k d"],
    scale: Float[Tensor, ""],
    positive_index: Int[Tensor, " q"],
    query_mask: Bool[Tensor, " q"],
    key_mask: Bool[Tensor, " k"],
    shared: bool = False,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE loss, summed over the queries where ``query_mask`` is True.

    The loss of a query is the mean of two cross-entropies: of its positive among the keys, and of
    the query among the queries of all processes for that key (van den Oord et al. 2018, eq. 4;
    Radford et al. 2021, figure 3).

    Args:
        queries: Embeddings of this process.
        keys: Embeddings of all processes.
        scale: Factor of the similarities (inverse temperature).
        positive_index: Index of each query's positive key.
        query_mask: Queries that have a positive key.
        key_mask: Keys that are the positive of a query of any process.
        shared: Whether there are other processes.
    """
    return _BothWays.apply(queries, keys, scale, positive_index, query_mask, key_mask, shared)


def sigmoid(
    queries: Float[Tensor, "q d"],
    keys: Float[Tensor, "k d"],
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
    positive_index: Int[Tensor, " q"],
    query_mask: Bool[Tensor, " q"],
    key_mask: Bool[Tensor, " k"],
    shared: bool = False,
) -> Float[Tensor, ""]:
    """Sum over all pairs of the binary cross-entropy of whether the key is the query's positive.

    Zhai et al. 2023, algorithm 1. The keys of other processes are not gathered: they are passed
    from each process to the next, together with their gradients, so that memory does not depend on
    the number of processes. The gradients assume that all processes weight their sums equally, as
    ``global_mean`` does.

    Args:
        queries: Embeddings of this process.
        keys: Embeddings of this process.
        scale: Factor of the similarities (inverse temperature).
        bias: Added to all logits.
        positive_index: Index of each query's positive key in this process.
        query_mask: Queries that have a positive key.
        key_mask: Keys that are the positive of a query.
        shared: Whether there are other processes.
    """
    return _EachPair.apply(queries, keys, scale, bias, positive_index, query_mask, key_mask, shared)


def pieces(queries: Tensor, keys: Tensor) -> Iterator[slice]:
    """Yield slices of queries whose logits are computed together."""
    piece = PIECE.get(queries.device.type, PIECE["other"])
    size = max(1, piece // max(1, len(keys)))
    return (slice(i, i + size) for i in range(0, len(queries), size))


def logsumexp_everywhere(x: Float[Tensor, " k"], shared: bool) -> Float[Tensor, " k"]:
    """Return the logarithm of the sum of the exponentials over all processes, element by element.

    Two all-reduces of k numbers: gathering them would take k from each process.
    """
    if not shared or world_size() == 1:
        return x
    most = x.clone()
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    finite = most.masked_fill(most == -torch.inf, 0)
    total = (x - finite).exp_()
    dist.all_reduce(total)
    return total.log_().add_(finite)


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
        positive_index: Tensor,
        query_mask: Tensor,
        key_mask: Tensor,
        shared: bool,
    ) -> Tensor:
        def logits(rows: slice) -> Tensor:
            similarity = (queries[rows] * scale) @ keys.T
            similarity.masked_fill_(~key_mask, -torch.inf)
            return similarity.masked_fill_(~query_mask[rows, None], -torch.inf)

        row_normalizer = queries.new_empty(len(queries))
        column_normalizer = keys.new_full((len(keys),), -torch.inf)
        for rows in pieces(queries, keys):
            block = logits(rows)
            row_normalizer[rows] = block.logsumexp(dim=1)
            column_normalizer = torch.logaddexp(column_normalizer, block.logsumexp(dim=0))
        column_normalizer = logsumexp_everywhere(column_normalizer, shared)
        # any finite value will do for masked rows and columns
        row_normalizer, column_normalizer = (
            x.masked_fill(x == -torch.inf, 0) for x in (row_normalizer, column_normalizer)
        )
        positive = scale * (queries * keys[positive_index]).sum(dim=1)
        loss = (
            ((row_normalizer + column_normalizer[positive_index]) / 2 - positive) * query_mask
        ).sum()
        if not any(ctx.needs_input_grad):
            return loss
        grads = torch.empty_like(queries), torch.zeros_like(keys)
        for rows in pieces(queries, keys):
            block = logits(rows)
            block_grad = (block - column_normalizer).exp_()
            block_grad += block.sub_(row_normalizer[rows, None]).exp_()
            block_grad /= 2
            block_grad.scatter_add_(
                1, positive_index[rows, None], -query_mask[rows, None].to(block_grad.dtype)
            )
            grads[0][rows] = block_grad @ keys
            grads[1].addmm_(block_grad.T, queries[rows])
        scale_grad = (grads[0] * queries).sum()
        ctx.save_for_backward(*(x.mul_(scale) for x in grads), scale_grad)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, scale = (grads[0] * x for x in ctx.saved_tensors)
        return queries, keys, scale, None, None, None, None


class _EachPair(torch.autograd.Function):
    """Sum of a pairwise loss over rows of logits; the gradient is computed with each row.

    After n exchanges, n being the number of processes, the gradients of the keys are back in the
    process of the keys, which has added to them as all others have.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        scale: Tensor,
        bias: Tensor,
        positive_index: Tensor,
        query_mask: Tensor,
        key_mask: Tensor,
        shared: bool,
    ) -> Tensor:
        total, bias_grad = torch.zeros_like(scale), torch.zeros_like(scale)
        needs_grad = any(ctx.needs_input_grad)
        grads = [torch.zeros_like(x) for x in (queries, keys)] if needs_grad else []
        masks = gather(key_mask[None], shared)
        last = len(masks) - 1
        for shift in range(len(masks)):
            mask = masks[(rank() - shift) % len(masks)]
            for rows in pieces(queries, keys):
                index, pair_mask = positive_index[rows, None], query_mask[rows, None] & mask
                z = ((queries[rows] * scale) @ keys.T).add_(bias)
                if shift == 0:  # the keys of this process: the loss pushes all z below zero
                    z.scatter_(1, index, -z.gather(1, index))
                total += (F.softplus(z) * pair_mask).sum()
                if needs_grad:
                    block_grad = z.sigmoid_().mul_(pair_mask)
                    if shift == 0:
                        block_grad.scatter_(1, index, -block_grad.gather(1, index))
                    bias_grad += block_grad.sum()
                    grads[0][rows] += block_grad @ keys
                    grads[1].addmm_(block_grad.T, queries[rows])
            if last and (moving := [*grads[1:], *([keys] if shift < last else [])]):
                moved = pass_on(moving)
                grads[1:] = moved[: len(grads[1:])]
                keys = moved[-1] if shift < last else keys
        scale_grad = (grads[0] * queries).sum() if needs_grad else bias_grad
        ctx.save_for_backward(*(x.mul_(scale) for x in grads), scale_grad, bias_grad)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *(grads[0] * x for x in ctx.saved_tensors), None, None, None, None
