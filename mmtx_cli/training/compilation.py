"""Compilation of the model with torch.compile, as a whole or block by block."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmtx_cli.decoder.base import Decoder
from mmtx_cli.errors import ConfigError
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.training.activation_checkpointing import recomputed

RECOMPILE_LIMIT = 64
"""Variants of a block's code: blocks share their code, but not their rates of stochastic depth."""


def compile_model(model: MultimodalModel, how: bool | str) -> None:
    """Compile in place, so that parameters keep their names and checkpoints hold no second copy.

    ``how`` is True for the whole model, or "blocks" for each repeated block: the blocks of an
    encoder run the same code, which is compiled once for all of them, and the code between them
    stays as it is.

    Raises:
        ConfigError: if "blocks" is given and the model has none.
    """
    if how is True:
        model.compile()
        return
    blocks = list(repeated_blocks(model))
    if not blocks:
        raise ConfigError(
            "trainer.compile=blocks: this model has no repeated blocks; set trainer.compile=true"
        )
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, RECOMPILE_LIMIT)
    for block in blocks:
        if is_recomputed(block):
            # the compiled code runs inside of the checkpoint, which itself stays uncompiled
            block.forward = MethodType(recomputed_compiled, block)  # type: ignore[method-assign]
        else:
            block.compile()


def repeated_blocks(model: MultimodalModel) -> Iterator[nn.Module]:
    """Yield the blocks of encoders and decoders, and the modules in other lists of modules."""
    found: dict[nn.Module, None] = {}
    for encoder in model.encoder.values():
        found |= dict.fromkeys(callable_parts(encoder.blocks()[1:]))
    for head in model.head.values():
        if isinstance(decoder := getattr(head, "decoder", None), Decoder):
            found |= dict.fromkeys(callable_parts(decoder.layers()))
    inside = {part for block in found for part in block.modules()}
    parts: tuple[Any, ...] = (model.fusion, model.head)
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.ModuleList) and module not in inside:
                new = [x for x in callable_parts(module) if x not in inside and has_children(x)]
                found |= dict.fromkeys(new)
                inside |= {part for block in new for part in block.modules()}
    yield from found


def callable_parts(modules: Any) -> Iterator[nn.Module]:
    """Yield the modules; of those that only hold others, such as a list, these."""
    for module in modules:
        if isinstance(module, nn.ModuleList | nn.ModuleDict):
            yield from callable_parts(module.children())
        else:
            yield module


def has_children(module: nn.Module) -> bool:
    """Return True if the module consists of others; compiling a single layer gains nothing."""
    return next(module.children(), None) is not None


def is_recomputed(block: nn.Module) -> bool:
    """Return True if activation checkpointing is set up for the block."""
    return getattr(block.forward, "__func__", None) is recomputed


@cache
def compiled_forward() -> Callable[..., Any]:
    """Return the compiled function that runs the ``forward`` of a block's class."""

    def run(block: Any, *args: Any, **kwargs: Any) -> Any:
        return type(block).forward(block, *args, **kwargs)

    return torch.compile(run)


def recomputed_compiled(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the compiled ``forward`` of the class, recomputed in the backward pass."""
    forward = partial(compiled_forward(), self)
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
