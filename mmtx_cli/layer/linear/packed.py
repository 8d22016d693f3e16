"""Weights in the layout of oneDNN: faster products with few rows on CPUs.

``torch.nn.functional.linear`` brings a weight into the layout of the processor's kernels in every
call, or multiplies it as it is. Generating text multiplies the same weights with one row per text
at every step, so their layout is changed once, as torch's own compiler does when it freezes a
model.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

MAX_BYTES = 2 * 2**30
"""Models with more bytes of such weights keep them as they are: the copy takes as much again."""


class PackedWeight:
    """A copy of a weight [o, i] in the layout of oneDNN; for inference in float32 on a CPU."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())

    def applies(self, x: Tensor) -> bool:
        """Return whether ``x`` can be multiplied with it: oneDNN computes no gradients."""
        return (
            x.dtype == torch.float32
            and x.dim() > 1
            and x.numel() > 0
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
        )

    def product(self, x: Float[Tensor, "*s i"], bias: Tensor | None) -> Float[Tensor, "*s o"]:
        """Return ``x @ weight.T + bias``."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, bias, "none", [], "")
        return product


class PackedLinear(nn.Linear):
    """A linear layer that has a packed copy of its weight."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.packed = PackedWeight(layer.weight)
        self.train(layer.training)

    def forward(self, x: Float[Tensor, "*s i"]) -> Float[Tensor, "*s o"]:
        """Apply the layer."""
        if self.packed.applies(x):
            return self.packed.product(x, self.bias)
        return super().forward(x)


class TiedEmbedding(nn.Embedding):
    """Embeddings of tokens that are also the weights of the output layer."""

    packed: PackedWeight | None = None

    def logits(self, hidden: Float[Tensor, "*s d"]) -> Float[Tensor, "*s v"]:
        """Return the logits of hidden states."""
        if self.packed is not None and self.packed.applies(hidden):
            return self.packed.product(hidden, None)
        return hidden @ self.weight.T


def pack(model: nn.Module) -> None:
    """Pack the weights of linear layers and tied embeddings, if the machine's torch can use them.

    The parameters stay, and are used where gradients are computed. Weights must not be changed
    afterwards.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    linear = list(_linear_layers(model))
    embeddings = [module for module in model.modules() if isinstance(module, TiedEmbedding)]
    weights = [layer.weight for _, _, layer in linear] + [module.weight for module in embeddings]
    if any(weight.device.type != "cpu" for weight in weights):
        return
    if sum(weight.numel() * weight.element_size() for weight in weights) > MAX_BYTES:
        return
    packed: dict[nn.Linear, PackedLinear] = {}  # a layer may have several places
    for parent, name, layer in linear:
        if layer not in packed:
            packed[layer] = PackedLinear(layer)
        setattr(parent, name, packed[layer])
    for module in embeddings:
        if module.weight.dtype == torch.float32:
            module.packed = PackedWeight(module.weight)


def _linear_layers(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Yield each place of a plain linear layer in float32: its parent, name and the layer."""
    for path, child in model.named_modules(remove_duplicate=False):
        if type(child) is nn.Linear and child.weight.dtype == torch.float32:
            parent, _, name = path.rpartition(".")
            yield model.get_submodule(parent), name, child
