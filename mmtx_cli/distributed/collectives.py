"""Collectives that make several processes compute what a single one would.

The processes average their gradients. A loss that is a mean over the whole batch is therefore the
local sum, divided by the global count, times the number of processes.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process."""
    return dist.get_rank() if world_size() > 1 else 0


def from_first(value: object) -> Any:
    """Return the value of the first process, which can be pickled, in all processes."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def global_mean(total: Float[Tensor, ""], count: Tensor, shared: bool) -> Float[Tensor, ""]:
    """Return the mean over the samples of all processes, scaled for averaged gradients.

    Without ``shared``, it is the mean of this process: evaluation uses no collectives. A count of 0
    gives 0.
    """
    count = count.to(total.dtype)
    if not shared or world_size() == 1:
        return total / count.clamp(min=1)
    global_count = count.detach().clone()
    dist.all_reduce(global_count)
    return total * world_size() / global_count.clamp(min=1)


def whole(x: Tensor) -> Tensor:
    """Return all of a tensor that may be sharded over the processes, which then all call this."""
    return x.full_tensor() if hasattr(x, "full_tensor") else x  # a DTensor, by FSDP2


class _Gather(torch.autograd.Function):
    """All-gather with gradients: backward sums the gradients and returns this process's chunk."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        grad = grads[0].contiguous()
        dist.all_reduce(grad)
        return grad.chunk(world_size())[rank()]


def gather(x: Shaped[Tensor, "b *d"], shared: bool) -> Shaped[Tensor, "g *d"]:  # noqa: F821
    """Return the rows of all processes in rank order, with gradients; b must be equal in all."""
    if not shared or world_size() == 1:
        return x
    if x.is_floating_point():
        return _Gather.apply(x)  # type: ignore[no-any-return]
    parts = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def pass_on(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Send tensors to the next process, and return those of the previous one; all call this."""
    following, previous = (rank() + 1) % world_size(), (rank() - 1) % world_size()
    received = [torch.empty_like(x) for x in tensors]
    operations = []
    for own, other in zip(tensors, received, strict=True):
        operations.append(dist.P2POp(dist.isend, own.contiguous(), following))
        operations.append(dist.P2POp(dist.irecv, other, previous))
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    return received


def gather_unequal(x: Shaped[Tensor, "b n *d"], shared: bool) -> Shaped[Tensor, "g m *d"]:
    """Gather like ``gather``, but allow different n: rows are padded to the largest, m."""
    if not shared or world_size() == 1:
        return x
    longest = torch.tensor(x.shape[1], device=x.device)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    padding = [0, 0] * (x.dim() - 2) + [0, int(longest) - x.shape[1]]
    return gather(F.pad(x, padding), shared)
