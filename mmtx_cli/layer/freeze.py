"""Parts of a network that stay as they are: no gradient, and always in evaluation mode."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Freezable(nn.Module):
    """A module that keeps its ``frozen`` parts in evaluation mode, whatever it is switched to."""

    frozen: Sequence[nn.Module] = ()

    def train(self, mode: bool = True) -> "Freezable":
        """Switch all but what is frozen."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self


def freeze_first(
    body: nn.Module, parts: Sequence[nn.Module], freeze: bool | int
) -> list[nn.Module]:
    """Switch off the gradients of what ``freeze`` names, and return it: it is to stay in eval mode.

    ``parts`` are the stem and the blocks of ``body`` in the order the content passes them.
    True is the whole body; n its first n blocks with the stem before them; False or 0 nothing.
    Autograd records nothing before the first parameter that is trained. Raises ValueError if
    there are fewer blocks.
    """
    if freeze is True:
        frozen = [body]
    elif freeze == 0:
        frozen = []
    elif not parts:
        raise ValueError(f"freeze={freeze}: this body has no known blocks; write true or false")
    elif 0 < freeze < len(parts):
        frozen = list(parts[: freeze + 1])
    else:
        raise ValueError(
            f"freeze={freeze}: the body has {len(parts) - 1} blocks; "
            f"write a number from 0 to {len(parts) - 1}, or true for the whole body"
        )
    for part in frozen:
        part.requires_grad_(False).eval()
    return frozen


@contextmanager
def stem_before(body: nn.Module, first: nn.Module) -> Iterator[nn.ModuleList]:
    """Gather the stem of ``body`` while it is run once: what it passes before its ``first`` block.

    These are whole branches of its tree of modules, whatever the order they are registered in,
    and the parameters of the modules around the blocks: class tokens and positions.
    """
    around = [m for m in body.modules() if m is not first and contains(m, first)]
    branches = [b for m in around for b in m.children() if b is not first and b not in around]
    stem = nn.ModuleList()
    begun = False

    def begin(*_: Any) -> None:
        nonlocal begun
        begun = True

    def passing(branch: nn.Module) -> Callable[..., None]:
        def note(*_: Any) -> None:
            if not begun and branch not in stem.children():
                stem.append(branch)

        return note

    hooks = [first.register_forward_pre_hook(begin)]
    for branch in branches:
        hooks += [m.register_forward_pre_hook(passing(branch)) for m in branch.modules()]
    try:
        yield stem
    finally:
        for hook in hooks:
            hook.remove()
    stem.append(nn.ParameterList(p for m in around for p in m.parameters(recurse=False)))


def contains(module: nn.Module, part: nn.Module) -> bool:
    """Is the part somewhere in the module?"""
    return any(inner is part for inner in module.modules())


def reached_parameters(output: Tensor) -> set[int]:
    """``id`` of every parameter that an output was computed from and that wants a gradient."""
    found, seen, todo = set(), set(), [output.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # a leaf of the graph
            found.add(id(node.variable))
        todo += [before for before, _ in node.next_functions]
    return found
