"""What tensors of unknown origin may be: dense, as large as they say, finite, of a fitting type."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def tensor_fault(value: Any) -> str | None:
    """Return why a value is not a plain tensor; None if it is one.

    A tensor of a pickle may be a view that repeats few numbers without end.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        return f"is of type {type(value).__name__}, not a tensor"
    if value.layout != torch.strided or value.is_quantized or value.device.type == "meta":
        return "is not a dense tensor"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return "claims more numbers than the file holds"
    return None


def is_finite(tensor: "Tensor") -> bool:
    """Return True if no number is NaN or infinite.

    A sum is several times faster than looking at every number; only where it is not finite, which
    it may be by overflow, are they looked at.
    """
    import torch

    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.element_size() == 1:  # the types of 8 bits have no sum
        tensor = tensor.float()
    total = tensor.sum(dtype=torch.float32) if tensor.element_size() == 2 else tensor.sum()
    if math.isfinite(total.abs().item()):
        return True
    return bool(torch.isfinite(tensor).all())


def not_finite(tensors: "Mapping[str, Tensor]") -> list[str]:
    """Return the names of the tensors that hold NaN or infinities."""
    return [name for name, tensor in sorted(tensors.items()) if not is_finite(tensor)]


def other_types(mine: "Mapping[str, Tensor]", theirs: "Mapping[str, Tensor]") -> list[str]:
    """Return tensors of both that are of types which are not converted into each other.

    Floating-point types are; whole numbers or booleans in place of weights are a fault.
    """
    return [
        f"{name} is {_type(theirs[name])} in place of {_type(mine[name])}"
        for name in sorted(mine.keys() & theirs.keys())
        if mine[name].dtype != theirs[name].dtype
        and not (_converts(mine[name]) and _converts(theirs[name]))
    ]


def _converts(tensor: "Tensor") -> bool:
    return tensor.is_floating_point() and tensor.element_size() > 1


def _type(tensor: "Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")
