"""Activation checkpointing: recompute activations in the backward pass."""

from functools import partial
from types import MethodType
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from mmtx_cli.errors import ConfigError
from mmtx_cli.model.multimodal import MultimodalModel


def recompute_blocks(model: MultimodalModel) -> None:
    """Checkpoint the activations of the encoders' blocks in training (Chen et al. 2016).

    Raises:
        ConfigError: if no encoder has blocks.
    """
    blocks = [block for encoder in model.encoder.values() for block in encoder.blocks()[1:]]
    if not blocks:
        raise ConfigError("trainer.activation_checkpointing: no encoder of this model has blocks")
    for block in blocks:
        # bound as a method, so that a copy of the block runs its own forward
        block.forward = MethodType(recomputed, block)  # type: ignore[method-assign]


def recomputed(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the class's ``forward``, with activation checkpointing if gradients are needed."""
    forward = partial(type(self).forward, self)
    if not self.training or not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
