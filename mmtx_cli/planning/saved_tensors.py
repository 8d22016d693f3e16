"""Bytes that a forward pass keeps for the backward pass: the activations."""

from collections.abc import Iterable

import torch
from torch import Tensor

from mmtx_cli.distributed.lightning import pl


class SavedTensors(pl.Callback):
    """Counts the bytes that autograd keeps in one step, each storage once.

    Parameters and buffers are left out: autograd keeps references to them, which take no memory.
    """

    def __init__(self, batch: int) -> None:
        """Count in the micro-batch with this index."""
        self.batch = batch
        self.bytes = 0
        self.hooks: torch.autograd.graph.saved_tensors_hooks | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Begin to count."""
        if batch_idx != self.batch:
            return
        known = storages((*pl_module.parameters(), *pl_module.buffers()))

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if (address := storage.data_ptr()) not in known:
                known.add(address)
                self.bytes += storage.nbytes()
            return tensor

        self.hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        self.hooks.__enter__()

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Stop counting."""
        if self.hooks is not None:
            self.hooks.__exit__(None, None, None)
            self.hooks = None


def storages(tensors: Iterable[Tensor]) -> set[int]:
    """Return the addresses of the storages of tensors."""
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of tensors, each storage once; those without memory count as nothing."""
    seen: set[int] = set()
    total = 0
    for tensor in tensors:
        if tensor.device.type == "meta":
            continue
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total += storage.nbytes()
    return total
