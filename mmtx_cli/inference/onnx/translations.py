"""Operations that torch's exporter translates to ONNX not at all, or not exactly."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnx import TensorProto
from onnxscript import opset18

ops: Any = opset18


def floor_division(a: Any, b: Any) -> Any:
    """Return ``a // b`` of lengths; the exporter's own translation rounds towards zero.

    The sign of ONNX's ``Mod`` is that of the divisor, as in Python.
    """
    return ops.Div(ops.Sub(a, ops.Mod(a, b)), b)


def stable_sort(
    x: Any, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Any, Any]:
    """Return sorted whole numbers and their indices; of equal ones, ``TopK`` takes the first first.

    Args:
        x: The numbers.
        stable: Does not matter, since it is stable.
        dim: The axis.
        descending: The largest number is the first.
    """
    size = ops.Gather(ops.Shape(x), ops.Constant(value_ints=[dim]))
    whole = ops.Cast(x, to=TensorProto.INT64)
    values, index = ops.TopK(whole, size, axis=dim, largest=int(descending), sorted=1)
    return ops.CastLike(values, x), index


TRANSLATIONS: Mapping[Callable, Callable] = {
    operator.floordiv: floor_division,
    torch.ops.aten.sort.stable: stable_sort,
}
"""By operation, a function that writes it with ONNX's operators."""
