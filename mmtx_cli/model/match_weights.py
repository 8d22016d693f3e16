"""Models with weights of unknown origin: built only if the weights are those that they lack.

A config of a few bytes may describe a model of terabytes. So it is built without memory first
(PyTorch's device "meta" has shapes and no numbers), and what it lacks is compared with the file.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.tensor_checks import other_types

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 5
"""Tensors that a message names."""
SPARE, SPARE_NUMBERS = 1000, 50_000_000
"""Tensors, and numbers in them, that may be made and replaced while a model is built, beside twice
those that it keeps."""


def build_fitting(build: Callable[[], Any], weights: "Mapping[str, Tensor]", source: str) -> Any:
    """Build a model with ``weights``, which are all that it has and no others.

    Args:
        build: Builds the model, whatever its weights.
        weights: Tensors by parameter name.
        source: Where they are from, for messages.

    Raises:
        CheckpointError: if tensors are missing, of no use, or of another shape or type.
    """
    check_fitting(build, weights, source)
    model = build()
    _check(model.state_dict(), weights, source)
    model.load_state_dict(weights)
    return model


def check_fitting(build: Callable[[], Any], weights: "Mapping[str, Tensor]", source: str) -> None:
    """Refuse, as ``build_fitting`` does, a model that is not built here.

    A part that computes with numbers while it is built cannot be built without them: a few of other
    libraries do, and such a model is compared only once it is built; how large it may be is known.
    """
    import torch

    allowance = Allowance(weights)
    try:
        with torch.device("meta"), allowance.counting():
            state = build().state_dict()
    except Exception as error:
        if allowance.exceeded:
            raise CheckpointError(
                f"{source}: its config describes a model that is much larger than its weights"
            ) from error
        return  # what else is wrong is told where it is built
    _check(state, weights, source)


class Allowance:
    """How many tensors, and numbers in them, may be made while a model is built."""

    def __init__(self, weights: "Mapping[str, Tensor]") -> None:
        self.tensors = SPARE + 2 * len(weights)
        self.numbers = SPARE_NUMBERS + 2 * sum(x.numel() for x in weights.values())

    @property
    def exceeded(self) -> bool:
        """Were more made?"""
        return self.tensors < 0 or self.numbers < 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Stop building where more are made: tensors without numbers take memory, too."""
        from torch.nn.modules import module

        def count(_: object, name: str, tensor: "Tensor | None") -> None:
            self.tensors -= 1
            self.numbers -= 0 if tensor is None else tensor.numel()
            if self.exceeded:
                raise RuntimeError("more parameters than expected")

        hooks = (
            module.register_module_parameter_registration_hook(count),
            module.register_module_buffer_registration_hook(count),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _check(state: "Mapping[str, Tensor]", weights: "Mapping[str, Tensor]", source: str) -> None:
    missing, unexpected = state.keys() - weights.keys(), weights.keys() - state.keys()
    other = {k for k in state.keys() & weights.keys() if state[k].shape != weights[k].shape}
    if missing or unexpected or other:
        odd = ", ".join(sorted(missing | unexpected | other)[:SHOWN])
        raise CheckpointError(
            f"{source}: {len(missing)} tensors are missing, {len(unexpected)} are of no use to "
            f"this model and {len(other)} are of another size ({odd}); leave the model's keys "
            "(dim, encoder, fusion, head) as they were trained"
        )
    if faults := other_types(state, weights):
        raise CheckpointError(f"{source}: {'; '.join(faults[:SHOWN])}: not what mmtx saved")
