"""Shard a model over the processes with FSDP2 (``torch.distributed.fsdp.fully_shard``).

Each block of the encoders, of the decoders and of the fusion is gathered for its own forward and
backward pass; all other parameters are one group, which is gathered from the beginning of the
forward pass to the end of the backward pass.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from mmtx_cli.decoder.base import Decoder
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import ModalityInput, Prediction, Tokens

CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Modules without a forward pass of their own, in which nothing could be gathered."""


def shard(model: MultimodalModel, mesh: DeviceMesh) -> None:
    """Shard the blocks of a model, then the rest of it, over a one-dimensional mesh.

    Parameters that cannot be sharded stay whole in every process (see ``unsharded``).
    """
    register_outputs()
    model.equal_calls = True
    whole = {*unsharded(model)}
    for parameter in model.parameters():  # FSDP2 shards no other memory formats
        parameter.data = parameter.data.contiguous()
    for block in blocks_to_shard(model):
        fully_shard(block, mesh=mesh, ignored_params=whole)
    fully_shard(model, mesh=mesh, ignored_params=whole)
    fix_prefetching(sharded_modules(model))


def fix_prefetching(modules: Sequence[FSDPModule]) -> None:
    """Let each block gather the one before it in the backward pass, and the first one none.

    By default, FSDP2 gathers in the reverse order of all forward passes since the last backward
    pass. These include validation, where processes have different numbers of batches: they would
    call different collectives, and wait for each other forever.

    Args:
        modules: The model, then its blocks in the order of the forward pass.
    """
    # the model itself is gathered already; for an empty list, the default would be used
    for module, previous in zip(modules, [modules[-1], *modules], strict=False):
        module.set_modules_to_backward_prefetch([previous])


def unsharded(model: MultimodalModel) -> Iterator[nn.Parameter]:
    """Yield the parameters that stay whole.

    These are scalars, which have no dimension to shard, frozen weights of a type other than that of
    the trained ones, which cannot be gathered together with them, and weights that heads change.
    """
    for head in model.head.values():
        for module in head.unsharded_modules:
            yield from module.parameters()
    trained = Counter(p.dtype for p in model.parameters() if p.requires_grad)
    usual = trained.most_common(1)[0][0] if trained else torch.float32
    for parameter in model.parameters():
        if parameter.dim() == 0 or (not parameter.requires_grad and parameter.dtype != usual):
            yield parameter


def blocks_to_shard(model: MultimodalModel) -> list[nn.Module]:
    """Return the blocks that are sharded by themselves, none of which contains another.

    A block that shares a parameter with the rest of the model is left out: only one group can hold
    it. So are the decoders of heads that generate texts in training, since generation does not
    call the blocks' forward pass, and as often as the texts are long.
    """
    found: list[nn.Module] = []
    for encoder in model.encoder.values():
        found += encoder.blocks()[1:]
    found += listed_blocks(model.fusion)
    for head in model.head.values():
        decoder = getattr(head, "decoder", None)
        if isinstance(decoder, Decoder) and not head.traits.trains:
            found += decoder.layers()
    owners = owner_counts(model)
    chosen: list[nn.Module] = []
    inside: set[int] = set()
    for block in found:
        parameters = [*block.parameters()]
        own = owner_counts(block)
        is_shared = any(owners[id(p)] != own[id(p)] for p in parameters)
        if not parameters or is_shared or isinstance(block, CONTAINERS) or id(block) in inside:
            continue
        inside.update(map(id, block.modules()))
        chosen.append(block)
    return chosen


def listed_blocks(module: nn.Module, in_list: bool = False) -> list[nn.Module]:
    """Return the modules in the lists of a module, also in containers in them, but not those inside
    of others.
    """
    if in_list and not isinstance(module, CONTAINERS):
        return [module] if [*module.children()] else []  # a norm is too small to gather by itself
    in_list = in_list or isinstance(module, nn.ModuleList)
    return [block for child in module.children() for block in listed_blocks(child, in_list)]


def owner_counts(module: nn.Module) -> Counter[int]:
    """Return how many submodules hold each parameter, by its ``id``."""
    return Counter(
        id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False)
    )


def register_outputs() -> None:
    """Let FSDP2 find the tensors in the dataclasses that blocks and models return.

    Otherwise their parameters would not be gathered again in the backward pass.
    """
    from torch.export import register_dataclass
    from torch.utils._pytree import SUPPORTED_NODES

    for kind in (ModalityInput, Prediction, Tokens):
        if kind not in SUPPORTED_NODES:
            register_dataclass(kind)


def is_sharded(model: nn.Module) -> bool:
    """Return True for a model that ``shard`` has sharded."""
    return isinstance(model, FSDPModule)


def gather_parameters(model: nn.Module) -> None:
    """Hold the whole model in every process until ``release_parameters``.

    In validation, processes may have different numbers of batches and generate texts of different
    lengths; a block that is gathered whenever it is called would wait for the others forever.
    """
    for module in sharded_modules(model):
        module.set_reshard_after_forward(False, recurse=False)
        with torch.no_grad():
            module.unshard()


def release_parameters(model: nn.Module) -> None:
    """Return to sharded parameters after ``gather_parameters``."""
    for module in sharded_modules(model):
        module.set_reshard_after_forward(module is not model, recurse=False)
        module.reshard()


def sharded_modules(model: nn.Module) -> list[FSDPModule]:
    """Return the modules whose parameters are sharded, the model itself first."""
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def average_whole_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average the gradients of the parameters that stay whole, in one all-reduce per type.

    FSDP2 averages those of the sharded ones.
    """
    whole = [p for p in parameters if p.grad is not None and not isinstance(p.grad, DTensor)]
    for dtype in sorted({p.dtype for p in whole}, key=str):
        gradients = [p.grad for p in whole if p.dtype == dtype and p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, mean in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return the norm of all gradients; of sharded ones, over all processes."""
    norms: list[Any] = []
    for of_shards in (True, False):
        part = [g for g in gradients if isinstance(g, DTensor) is of_shards]
        if part:
            norm = torch.nn.utils.get_total_norm(part)
            norms.append(norm.full_tensor() if isinstance(norm, DTensor) else norm)
    return torch.linalg.vector_norm(torch.stack(norms)) if len(norms) > 1 else norms[0]


def clip(parameters: Sequence[nn.Parameter], limit: float, norm: Tensor) -> None:
    """Scale all gradients such that their ``norm`` is at most ``limit``."""
    for of_shards in (True, False):
        part = [p for p in parameters if isinstance(p.grad, DTensor) is of_shards]
        torch.nn.utils.clip_grads_with_norm_(part, limit, norm)
