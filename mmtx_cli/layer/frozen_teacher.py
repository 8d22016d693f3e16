"""A model that is asked and never trained."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Frozen:
    """Holds a model beside another, of which it is no part: not trained, averaged, or saved.

    It answers in evaluation mode, without gradients, and on a GPU in bfloat16.
    """

    def __init__(self, model: nn.Module, label_names: Sequence[str] = ()) -> None:
        """``label_names`` are the classes that it knows."""
        self.model: Any = model.requires_grad_(False).eval()
        self.label_names = list(label_names)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Frozen":
        return self  # nothing changes it

    @torch.compiler.disable
    def ask(self, question: Callable[[Any], Tensor], device: torch.device) -> Tensor:
        """What ``question`` makes of the model, in full precision."""
        self.model.to(device)
        low = device.type != "cpu"
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
            said = question(self.model)
        return said.to(torch.promote_types(said.dtype, torch.float32))
