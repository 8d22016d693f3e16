"""Which parameters have pretrained values."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

MARK = "mmtx_is_pretrained"


def mark_pretrained(parameters: "Iterable[nn.Parameter]") -> None:
    """Mark parameters whose values were read from a pretrained or trained model."""
    for parameter in parameters:
        setattr(parameter, MARK, True)


def is_pretrained(parameter: "nn.Parameter") -> bool:
    """Return whether a parameter is marked."""
    return bool(getattr(parameter, MARK, False))


def pretrained_count(model: "nn.Module") -> dict[str, int]:
    """Return the number of pretrained parameters as a cost of the model, if there are any."""
    count = sum(p.numel() for p in model.parameters() if is_pretrained(p))
    return {"pretrained_parameters": count} if count else {}


def weights_summary(model: "nn.Module") -> str:
    """Return how many parameters are pretrained or new, and trained or frozen, and where."""
    found: dict[tuple[bool, bool], dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        kind = is_pretrained(parameter), parameter.requires_grad
        parts = found.setdefault(kind, {})
        part = ".".join(name.split(".")[: 3 if ".decoder." in name else 2])
        parts[part] = parts.get(part, 0) + parameter.numel()
    return "; ".join(
        f"{'pretrained' if pretrained else 'new'} and {'trained' if trained else 'frozen'}: "
        f"{_listed(parts)}"
        for (pretrained, trained), parts in sorted(found.items(), reverse=True)
    )


def _listed(parts: Mapping[str, int]) -> str:
    names = ", ".join(sorted(parts))
    return f"{sum(parts.values()) / 1e6:.2f} M ({names})"
