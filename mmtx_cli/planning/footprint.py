"""What a model, its optimizer and its device take: bytes and parameters."""

import torch

from mmtx_cli.distributed.lightning import pl
from mmtx_cli.planning.memory import high_water
from mmtx_cli.planning.saved_tensors import nbytes
from mmtx_cli.training.module import TrainingModule


def memory_parts(trainer: pl.Trainer, module: TrainingModule) -> dict[str, int]:
    """Return the bytes of weights, gradients, optimizer state and averaged weights."""
    state = [
        value
        for optimizer in trainer.optimizers
        for values in optimizer.state.values()
        for value in values.values()
        if isinstance(value, torch.Tensor)
    ]
    averaged = [
        tensor
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if (model := getattr(callback, "_average_model", None)) is not None
        for tensor in model.parameters()
    ]
    return {
        "weights": nbytes([*module.parameters(), *module.buffers()]),
        "gradients": nbytes(p.grad for p in module.parameters() if p.grad is not None),
        "optimizer": nbytes(state),
        "averaged weights": nbytes(averaged),
    }


def components_of(model: torch.nn.Module) -> dict[str, dict[str, int]]:
    """Return the parameters of each component of a model, all and those that are trained."""
    found: dict[str, dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        words = name.split(".")
        key = ".".join(words[: 2 if words[0] in ("encoder", "head", "project") else 1])
        counts = found.setdefault(key, {"parameters": 0, "trained": 0})
        counts["parameters"] += parameter.numel()
        counts["trained"] += parameter.numel() if parameter.requires_grad else 0
    return found


def peak() -> dict[str, int | None]:
    """Return the bytes that a device needed at most: the GPU's, else those of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return {
            "bytes": torch.cuda.max_memory_allocated(),
            "reserved": torch.cuda.max_memory_reserved(),
            "total": torch.cuda.get_device_properties(0).total_memory,
        }
    return {"bytes": high_water(), "reserved": None, "total": None}


def device_name(trainer: pl.Trainer) -> str:
    """Return the name of the device."""
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
