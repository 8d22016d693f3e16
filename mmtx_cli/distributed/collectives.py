"""What several processes must agree on so that they compute what one would.

The processes average their gradients. A loss that is a mean over the whole batch is therefore
the local sum, divided by the global count, times the number of processes.
"""

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def global_mean(total: Float[Tensor, ""], count: Tensor, shared: bool) -> Float[Tensor, ""]:
    """Mean over the samples of all processes, such that averaged gradients are its gradient.

    ``shared`` False keeps to this process: evaluation has no collectives. A count of 0 gives 0.
    """
    count = count.to(total.dtype)
    if not shared or world_size() == 1:
        return total / count.clamp(min=1)
    everyone = count.detach().clone()
    dist.all_reduce(everyone)
    return total * world_size() / everyone.clamp(min=1)


class _Gather(torch.autograd.Function):
    """Concatenate over processes; backwards, every process returns what is due to each."""

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


def gather(x: Shaped[Tensor, "b *d"], shared: bool) -> Shaped[Tensor, "g *d"]:
    """Rows of all processes in order of rank, with gradients; every process holds as many."""
    if not shared or world_size() == 1:
        return x
    if x.is_floating_point():
        return _Gather.apply(x)  # type: ignore[no-any-return]
    parts = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def gather_unequal(x: Shaped[Tensor, "b n *d"], shared: bool) -> Shaped[Tensor, "g m *d"]:
    """``gather`` where processes padded their samples to different lengths; m is the longest."""
    if not shared or world_size() == 1:
        return x
    longest = torch.tensor(x.shape[1], device=x.device)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    padding = [0, 0] * (x.dim() - 2) + [0, int(longest) - x.shape[1]]
    return gather(F.pad(x, padding), shared)
