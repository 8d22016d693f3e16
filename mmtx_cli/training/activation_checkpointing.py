"""Activation checkpointing: recompute activations in the backward pass."""

from functools import partial
from types import MethodType
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from mmtx_cli.decoder.base import Decoder
from mmtx_cli.errors import ConfigError
from mmtx_cli.model.multimodal import MultimodalModel


def recompute_blocks(model: MultimodalModel) -> None:
    """Checkpoint the activations of the blocks of encoders and decoders (Chen et al. 2016).

    Raises:
        ConfigError: if neither has blocks.
    """
    blocks = [block for encoder in model.encoder.values() for block in encoder.blocks()[1:]]
    decoders = [getattr(head, "decoder", None) for head in model.head.values()]
    blocks += [layer for d in decoders if isinstance(d, Decoder) for layer in d.layers()]
    if not blocks:
        raise ConfigError(
            "trainer.activation_checkpointing: no encoder or decoder of this model has blocks"
        )
    for block in blocks:
        # bound as a method, so that a copy of the block runs its own forward
        block.forward = MethodType(recomputed, block)  # type: ignore[method-assign]


def recomputed(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the class's ``forward``, with activation checkpointing if gradients are needed."""
    forward = partial(type(self).forward, self)
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
