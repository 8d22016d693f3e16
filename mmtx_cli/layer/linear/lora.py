"""Low-rank adaptation (Hu et al. 2021): W x + (alpha / r) B A x, with W frozen."""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

ALPHA = 16.0
"""Fixed: tuning it is roughly the same as tuning the learning rate (section 4.1)."""


class LoraLinear(nn.Linear):
    """A linear layer with a low-rank update; ``weight`` and ``bias`` keep their names.

    A (``down``) is initialized from a Gaussian and B (``up``) with zeros, so that the output is
    unchanged at first.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        factory_kwargs = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.down = nn.Linear(self.in_features, rank, bias=False, **factory_kwargs)
        self.up = nn.Linear(rank, self.out_features, bias=False, **factory_kwargs)
        self.scale = ALPHA / rank
        nn.init.normal_(self.down.weight, std=self.in_features**-0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, input: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """Return W x + (alpha / r) B A x."""
        return super().forward(input) + self.scale * self.up(self.down(input))


def add_lora(parts: Iterable[nn.Module], rank: int) -> list[Tensor]:
    """Adapt every linear projection inside an attention of ``parts``; return the new weights.

    Raises:
        ValueError: If there is no such projection, or the rank is not positive.
    """
    if rank < 1:
        raise ValueError(f"lora={rank}: the rank must be positive, or 0 for no adapters")
    new: list[Tensor] = []
    for part in parts:
        found = [
            (name, module)
            for name, module in part.named_modules()
            if isinstance(module, nn.Linear) and in_attention(name)
        ]
        for name, module in found:
            adapted = LoraLinear(module, rank)
            parent, _, child = name.rpartition(".")
            setattr(part.get_submodule(parent), child, adapted)
            new += [adapted.down.weight, adapted.up.weight]
    if not new:
        raise ValueError(f"lora={rank}: this backbone has no attention with linear projections")
    return new


def in_attention(name: str) -> bool:
    """Return whether a parent module is named like an attention: attention, self_attn, …"""
    return any("attn" in part or "attention" in part for part in name.lower().split(".")[:-1])
