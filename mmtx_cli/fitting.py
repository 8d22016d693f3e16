"""Models with weights of unknown origin: built only if the weights are those that they lack.

A config of a few bytes may describe a model of terabytes. So it is built without memory first
(PyTorch's device "meta" has shapes and no numbers), and what it lacks is compared with the file.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmtx_cli.error import CheckpointError, MmtxError
from mmtx_cli.tensor_check import other_types

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 5
"""Tensors that a message names."""
SPARE = 1000
"""Parameters that may be made and replaced while a model is built, beside one for each."""


def build_fitting(
    build: Callable[[], Any], weights: "Mapping[str, Tensor]", source: str, trusts: bool
) -> Any:
    """Build a model with ``weights``, which are all that it has and no others.

    Args:
        build: Builds the model, whatever its weights.
        weights: Tensors by parameter name.
        source: Where they are from, for messages.
        trusts: The model may have parts that are not of mmtx; one that cannot be built without
            memory is built at once.

    Raises:
        CheckpointError: if tensors are missing, of no use, or of another shape or type.
    """
    check_fitting(build, weights, source, trusts)
    model = build()
    _check(model.state_dict(), weights, source)
    model.load_state_dict(weights)
    return model


def check_fitting(
    build: Callable[[], Any], weights: "Mapping[str, Tensor]", source: str, trusts: bool
) -> None:
    """Refuse, as ``build_fitting`` does, a model that is not built here."""
    import torch

    try:
        with torch.device("meta"), _at_most(SPARE + 2 * len(weights), source):
            state = build().state_dict()
    except MmtxError:
        raise
    except Exception:
        if not trusts:
            raise
        return
    _check(state, weights, source)


@contextmanager
def _at_most(count: int, source: str) -> Iterator[None]:
    """Stop building once there are more parameters: without numbers they take memory, too."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    left = iter(range(count))

    def refuse(*_: object) -> None:
        if next(left, None) is None:
            raise CheckpointError(f"{source}: its config has many more tensors than its weights")

    hook = register_module_parameter_registration_hook(refuse)
    try:
        yield
    finally:
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
