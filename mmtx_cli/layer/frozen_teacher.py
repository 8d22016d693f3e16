"""A frozen teacher model."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class FrozenTeacher:
    """Hold a model outside of the module tree: it is not trained, averaged, or saved.

    It runs in evaluation mode, without gradients, and on a GPU in bfloat16.
    """

    def __init__(self, model: nn.Module, label_names: Sequence[str] = ()) -> None:
        """``label_names`` are the classes of the model."""
        self.model: Any = model.requires_grad_(False).eval()
        self.label_names = list(label_names)

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenTeacher":
        return self  # never modified, so copies share it

    def share(self, part: nn.Module, own: nn.Module) -> None:
        """Let frozen parameters of a part of the teacher use the memory of equal ones of ``own``.

        Call it once both are on their device.
        """
        frozen = {n: p for n, p in own.named_parameters() if not p.requires_grad}
        for name, parameter in part.named_parameters():
            other = frozen.get(name)
            if other is not None and torch.equal(parameter, other):
                parameter.data = other.data

    @torch.compiler.disable
    def run(self, function: Callable[[Any], Tensor], device: torch.device) -> Tensor:
        """Return ``question(model)``, computed on ``device`` and converted to at least float32."""
        self.model.to(device)
        half_precision = device.type != "cpu"
        with (
            torch.no_grad(),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=half_precision),
        ):
            output = function(self.model)
        return output.to(torch.promote_types(output.dtype, torch.float32))
