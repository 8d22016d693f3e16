"""Checks of untrusted tensors: dense, backed by enough storage, finite, of a compatible type."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def tensor_fault(value: Any) -> str | None:
    """Return why a value is not a plain tensor; None if it is one.

    An unpickled tensor may be a view that repeats a few values any number of times.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        return f"is of type {type(value).__name__}, not a tensor"
    if value.layout != torch.strided or value.is_quantized or value.device.type == "meta":
        return "is not a dense tensor"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return "has more elements than the file contains"
    return None


def is_finite(tensor: "Tensor") -> bool:
    """Return True if no value is NaN or infinite.

    A sum is several times faster than checking every value, which is only done if the sum is not
    finite, possibly because of an overflow.
    """
    import torch

    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.element_size() == 1:  # 8-bit types do not support sum
        tensor = tensor.float()
    total = tensor.sum(dtype=torch.float32) if tensor.element_size() == 2 else tensor.sum()
    if math.isfinite(total.abs().item()):
        return True
    return bool(torch.isfinite(tensor).all())


def not_finite(tensors: "Mapping[str, Tensor]") -> list[str]:
    """Return the names of the tensors that contain NaN or infinities."""
    return [name for name, tensor in sorted(tensors.items()) if not is_finite(tensor)]


def type_mismatches(expected: "Mapping[str, Tensor]", actual: "Mapping[str, Tensor]") -> list[str]:
    """Describe the tensors in both mappings whose types cannot be converted into each other.

    Floating-point types of at least 16 bits can; integers or booleans in place of weights are
    errors.
    """
    return [
        f"{name} is {_type(actual[name])} instead of {_type(expected[name])}"
        for name in sorted(expected.keys() & actual.keys())
        if expected[name].dtype != actual[name].dtype
        and not (_converts(expected[name]) and _converts(actual[name]))
    ]


def _converts(tensor: "Tensor") -> bool:
    return tensor.is_floating_point() and tensor.element_size() > 1


def _type(tensor: "Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")
