"""State dicts without frozen pretrained weights, which are read from files of their own."""

from collections.abc import MutableMapping
from typing import Any

from torch import Tensor, nn


def exclude_from_state(module: nn.Module, part: nn.Module, name: str, frozen: bool) -> set[str]:
    """Exclude tensors of a part of ``module`` from its state dict, and accept one without them.

    Tied weights are stored once. Returns the names, which the caller may change.

    Args:
        module: The module.
        part: The part, a submodule of it.
        name: Name of the part.
        frozen: Whether to exclude all tensors that are not trained.
    """
    tied = tied_names(part)
    trained = {key for key, parameter in part.named_parameters() if parameter.requires_grad}
    excluded = {key for key in part.state_dict() if frozen and key not in trained} | tied.keys()

    def remove(_: nn.Module, state: MutableMapping[str, Tensor], prefix: str, __: object) -> None:
        for key in excluded:
            state.pop(f"{prefix}{name}.{key}", None)

    def add(_: nn.Module, state: Any, prefix: str, *__: object) -> None:
        own = part.state_dict()
        for key in excluded:
            source = state.get(f"{prefix}{name}.{tied.get(key, key)}", own[key])
            state.setdefault(f"{prefix}{name}.{key}", source)

    module._register_state_dict_hook(remove)
    module.register_load_state_dict_pre_hook(add)
    return excluded


def tied_names(part: nn.Module) -> dict[str, str]:
    """Return the further names of parameters that have several, with their first names."""
    first = {id(parameter): key for key, parameter in part.named_parameters()}
    names = part.named_parameters(remove_duplicate=False)
    return {key: first[id(p)] for key, p in names if first[id(p)] != key}
