"""Freezing of modules: no gradients, and always in evaluation mode."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Freezable(nn.Module):
    """A module whose ``frozen`` submodules always stay in evaluation mode."""

    frozen: Sequence[nn.Module] = ()

    def train(self, mode: bool = True) -> "Freezable":
        """Set the mode of all submodules except the frozen ones."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self


def freeze_first(
    body: nn.Module, parts: Sequence[nn.Module], freeze: bool | int
) -> list[nn.Module]:
    """Freeze the modules selected by ``freeze`` and return them.

    ``parts`` are the stem and the blocks of ``body`` in forward order. ``freeze`` is True for the
    whole body, n for its stem and first n blocks, False or 0 for nothing. The returned modules must
    stay in evaluation mode. Autograd records nothing before the first trained parameter.

    Raises:
        ValueError: If there are fewer blocks.
    """
    if freeze is True:
        frozen = [body]
    elif freeze == 0:
        frozen = []
    elif not parts:
        raise ValueError(f"freeze={freeze}: this backbone has no known blocks; use true or false")
    elif 0 < freeze < len(parts):
        frozen = list(parts[: freeze + 1])
    else:
        raise ValueError(
            f"freeze={freeze}: the backbone has {len(parts) - 1} blocks; "
            f"use a number from 0 to {len(parts) - 1}, or true for the whole backbone"
        )
    for part in frozen:
        part.requires_grad_(False).eval()
    return frozen


@contextmanager
def stem_before(body: nn.Module, first: nn.Module) -> Iterator[nn.ModuleList]:
    """Collect the stem of ``body`` during one forward pass: the modules before its ``first`` block.

    These are whole branches of the module tree, independent of their registration order, and the
    direct parameters of the modules around the blocks, such as class tokens and positions.
    """
    ancestors = [m for m in body.modules() if m is not first and contains(m, first)]
    branches = [b for m in ancestors for b in m.children() if b is not first and b not in ancestors]
    stem = nn.ModuleList()
    started = False

    def start(*_: Any) -> None:
        nonlocal started
        started = True

    def recorder(branch: nn.Module) -> Callable[..., None]:
        def record(*_: Any) -> None:
            if not started and branch not in stem.children():
                stem.append(branch)

        return record

    hooks = [first.register_forward_pre_hook(start)]
    for branch in branches:
        hooks += [m.register_forward_pre_hook(recorder(branch)) for m in branch.modules()]
    try:
        yield stem
    finally:
        for hook in hooks:
            hook.remove()
    stem.append(nn.ParameterList(p for m in ancestors for p in m.parameters(recurse=False)))


def contains(module: nn.Module, part: nn.Module) -> bool:
    """Return whether ``part`` is a submodule of ``module``."""
    return any(inner is part for inner in module.modules())


def reached_parameters(output: Tensor) -> set[int]:
    """Return the ``id`` of every parameter that gets a gradient from ``output``."""
    found, seen, pending = set(), set(), [output.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # leaf of the graph
            found.add(id(node.variable))
        pending += [parent for parent, _ in node.next_functions]
    return found
