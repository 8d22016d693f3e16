"""Attention rollout as a backward pass: attention mixes tokens, everything else passes them on.

Attention rollout (Abnar and Zuidema 2020) multiplies the attention weights of all layers, averaged
over the heads, each averaged with the identity for the residual connection. The same matrix is the
derivative of a network whose attention weights are constants, whose token-wise layers pass every
token on unchanged, and whose sums are means. While the rules are active, every layer computes what
it always computes, but its derivative is that of this network. So rollout follows any connection of
layers: streams that attend to each other, latents, pooling, reshaping, padding.

The relevance of a token is the sum over its channels. No rule makes it larger. A sum with something
that does not depend on the inputs (positions, the text before it has read any) belongs to the other
alone; what else of a state comes from learned tokens or from the text is lost to the inputs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Rule = Callable[..., Any]


def with_derivative(value: Tensor, of: Tensor) -> Tensor:
    """Return ``value`` with the derivative of ``of``, which has the same shape."""
    return value.detach() + (of - of.detach())


def shared(x: Tensor, like: Tensor) -> Tensor:
    """Return the mean channel of ``x`` as each channel of ``like``: all share its relevance."""
    return x.mean(dim=-1, keepdim=True).expand_as(like)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Channels of a token pass on its relevance, whatever the weights."""
    y = F.linear(x, weight, bias)
    return with_derivative(y, shared(x, y))


def addmm(bias: Tensor, x: Tensor, weight: Tensor, **scales: Any) -> Tensor:
    """As a linear layer (GPT-2 has its weights transposed)."""
    y = torch.addmm(bias, x, weight, **scales)
    return with_derivative(y, shared(x, y))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Weights of an attention times its values, or tokens times a matrix."""
    if not (isinstance(a, Tensor) and a.requires_grad):
        return torch.matmul(a, b)
    y = torch.matmul(a, b)
    if b.requires_grad:  # scores: weights come from a softmax, which is a constant
        return y.detach()
    return with_derivative(y, shared(a, y))


def attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The attention weights are constants."""
    return F.scaled_dot_product_attention(query.detach(), key.detach(), value, *args, **kwargs)


def multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """``nn.MultiheadAttention`` [n, b, d]: the weights, averaged over the heads, are constants."""
    wanted = kwargs.get("need_weights", True)
    options = {**kwargs, "need_weights": True, "average_attn_weights": True}
    y, weights = F.multi_head_attention_forward(query, key, value, *args, **options)
    assert weights is not None
    mixed = (weights.detach() @ value.transpose(0, 1)).transpose(0, 1)
    y = with_derivative(y, shared(mixed, y))
    return y, weights.detach() if wanted else None


def convolution(function: Rule) -> Rule:
    """Return the rule of a convolution: a cell gets its relevance from its receptive field alike.

    (The flat rule of layer-wise relevance propagation, Lapuschkin et al. 2019.)
    """

    def rule(x: Tensor, weight: Tensor, bias: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        y = function(x, weight, bias, *args, **kwargs)
        kwargs = {
            **dict(zip(("stride", "padding", "dilation", "groups"), args, strict=False)),
            **kwargs,
        }
        kwargs.pop("groups", None)
        kernel = weight.new_ones(1, 1, *weight.shape[2:]) / weight[0, 0].numel()
        flat = function(x.mean(dim=1, keepdim=True), kernel, None, **kwargs)
        return with_derivative(y, flat.expand_as(y))

    return rule


def unchanged(function: Rule) -> Rule:
    """Return the rule of a function of single tokens or channels: it passes the relevance on."""

    def rule(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kwargs.pop("inplace", None)
        return with_derivative(function(x, *args, **kwargs), x)

    return rule


def constant(function: Rule) -> Rule:
    """Return the rule of a function whose result counts as a constant."""

    def rule(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return result.detach() if isinstance(result, Tensor) else result

    return rule


def is_active(x: Any) -> bool:
    """Return whether a relevance flows through ``x``."""
    return isinstance(x, Tensor) and x.requires_grad


def add(a: Any, b: Any, *, alpha: Any = 1) -> Any:
    """A sum of two streams belongs to both by half: a residual connection."""
    y = torch.add(a, b, alpha=alpha)
    if not (is_active(a) and is_active(b)):
        return y
    return with_derivative(y, (a / 2).expand_as(y) + (b / 2).expand_as(y))


def multiply(a: Any, b: Any) -> Any:
    """A product of two streams belongs to both by half; a constant scales by its size."""
    if is_active(a) and is_active(b):
        y = a * b
        return with_derivative(y, (a / 2).expand_as(y) + (b / 2).expand_as(y))
    if not (is_active(a) or is_active(b)):
        return a * b
    x, factor = (a, b) if is_active(a) else (b, a)
    size = factor.abs() if isinstance(factor, Tensor) and factor.is_floating_point() else factor
    return with_derivative(x * factor, x * size)


def divide(a: Any, b: Any, **kwargs: Any) -> Any:
    """The divisor is a constant."""
    return torch.div(a, b.detach() if isinstance(b, Tensor) else b, **kwargs)


def subtract(a: Any, b: Any, **kwargs: Any) -> Any:
    """What is subtracted is a constant: a difference belongs to what it is the difference of."""
    return torch.sub(a, b.detach() if is_active(b) and is_active(a) else b, **kwargs)


RULES: dict[Any, Rule] = {
    F.linear: linear,
    torch.addmm: addmm,
    F.scaled_dot_product_attention: attention,
    F.multi_head_attention_forward: multi_head_attention,
    **{f: convolution(f) for f in (F.conv1d, F.conv2d, F.conv3d)},
    **{
        f: unchanged(f)
        for f in (
            F.layer_norm, F.group_norm, F.batch_norm, F.instance_norm, F.rms_norm,
            F.gelu, F.relu, F.silu, F.leaky_relu, F.elu, F.hardswish, F.hardtanh, F.relu6, F.mish,
        )
    },
    **{
        f: constant(f)
        for f in (
            F.softmax, torch.softmax, Tensor.softmax, torch.sigmoid, Tensor.sigmoid, F.sigmoid,
            F.hardsigmoid, torch.rsqrt, Tensor.rsqrt, torch.sqrt, Tensor.sqrt,
        )
    },
    **dict.fromkeys(
        (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm), matmul
    ),
    **dict.fromkeys(
        (torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__, Tensor.add_), add
    ),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), multiply),
    **dict.fromkeys((torch.div, Tensor.div, Tensor.__truediv__), divide),
    **dict.fromkeys((torch.sub, Tensor.sub, Tensor.__sub__), subtract),
}  # fmt: skip


class Rollout(TorchFunctionMode):
    """Every function with a rule gets the derivative of its rule."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute a function with its rule."""
        return RULES.get(func, func)(*args, **(kwargs or {}))


@contextmanager
def rollout_rules(model: nn.Module) -> Iterator[None]:
    """Pass relevance back by the rules, also through modules that are no single function."""
    hooks = [
        module.register_forward_hook(passes_unchanged)
        for module in model.modules()
        if type(module).__name__.endswith("RMSNorm")
    ]
    try:
        with Rollout():
            yield
    finally:
        for hook in hooks:
            hook.remove()


def passes_unchanged(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    """Let the input of a norm get the relevance of its output."""
    return with_derivative(output, args[0])
