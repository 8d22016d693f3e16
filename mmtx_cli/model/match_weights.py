"""Build models with untrusted weights, only if config and weights match.

A config of a few bytes may describe a model of terabytes. So the model is first built on PyTorch's
"meta" device, which allocates no memory, and its state dict is compared with the file.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.hub.loading import READING
from mmtx_cli.io.untrusted.tensor_checks import type_mismatches

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 5
"""Number of tensors that a message names."""
SPARE, SPARE_NUMBERS = 1000, 50_000_000
"""Number of tensors and of their elements that may be created while a model is built.

In addition to twice those of its weights: some are only temporary.
"""


def build_fitting(build: Callable[[], Any], weights: "Mapping[str, Tensor]", source: str) -> Any:
    """Build a model and load ``weights``, which must match its state dict exactly.

    Args:
        build: Builds the model with any weights.
        weights: Tensors by parameter name.
        source: Origin of the weights, for messages.

    Raises:
        CheckpointError: If tensors are missing, unexpected, or of another shape or type.
    """
    check_fitting(build, weights, source)
    model = _built_within_limits(build, weights, source)
    _check(model.state_dict(), weights, source)
    model.load_state_dict(weights)
    return model


def check_fitting(build: Callable[[], Any], weights: "Mapping[str, Tensor]", source: str) -> None:
    """Raise CheckpointError, like ``build_fitting``, without allocating the model.

    Components that compute with tensor values during construction, as a few of other libraries do,
    fail on the "meta" device. Such a model is compared only after it is built, within the same
    limits of size.
    """
    import torch

    try:
        with torch.device("meta"):
            state = _built_within_limits(build, weights, source).state_dict()
    except CheckpointError:
        raise
    except Exception:
        return  # other errors are reported when the model is built
    _check(state, weights, source)


def _built_within_limits(
    build: Callable[[], Any], weights: "Mapping[str, Tensor]", source: str
) -> Any:
    allowance = Allowance(weights)
    try:
        with allowance.counting():
            return build()
    except Exception as error:
        if allowance.exceeded:
            raise CheckpointError(
                f"{source}: its config describes a model much larger than its weights"
            ) from error
        raise


class Allowance:
    """Limit on the tensors, and their elements, that may be created while a model is built."""

    def __init__(self, weights: "Mapping[str, Tensor]") -> None:
        self.tensors = SPARE + 2 * len(weights)
        self.numbers = SPARE_NUMBERS + 2 * sum(x.numel() for x in weights.values())

    @property
    def exceeded(self) -> bool:
        """True if the limit was exceeded."""
        return self.tensors < 0 or self.numbers < 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Stop the construction beyond the limit: even "meta" tensors need some memory.

        Pretrained parts that are read from files of their own do not count.
        """
        from torch.nn.modules import module

        def count(_: object, name: str, tensor: "Tensor | None") -> None:
            if READING.get():
                return
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
    mismatched = {k for k in state.keys() & weights.keys() if state[k].shape != weights[k].shape}
    if missing or unexpected or mismatched:
        names = ", ".join(sorted(missing | unexpected | mismatched)[:SHOWN])
        raise CheckpointError(
            f"{source}: {len(missing)} tensors are missing, {len(unexpected)} are unexpected "
            f"and {len(mismatched)} have a different shape ({names}); keep the model's keys (dim, "
            "encoder, fusion, head) as in training"
        )
    if faults := type_mismatches(state, weights):
        raise CheckpointError(f"{source}: {'; '.join(faults[:SHOWN])}: not saved by mmtx")
