"""Low-rank adaptation (Hu et al. 2021): W x + (alpha / r) B A x, with W as it was trained."""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

ALPHA = 16.0
"""Fixed: to tune it is about the same as to tune the learning rate (section 4.1)."""


class LoraLinear(nn.Linear):
    """A linear layer with an update of low rank; ``weight`` and ``bias`` keep their names.

    A (``down``) is Gaussian and B (``up``) zero, so that it starts as the layer that it adapts.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        place = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.down = nn.Linear(self.in_features, rank, bias=False, **place)
        self.up = nn.Linear(rank, self.out_features, bias=False, **place)
        self.scale = ALPHA / rank
        nn.init.normal_(self.down.weight, std=self.in_features**-0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, input: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """W x + (alpha / r) B A x."""
        return super().forward(input) + self.scale * self.up(self.down(input))


def add_lora(parts: Iterable[nn.Module], rank: int) -> list[Tensor]:
    """Adapt every linear projection inside an attention of ``parts``; return what is new.

    Raises ValueError if there is none.
    """
    if rank < 1:
        raise ValueError(f"lora={rank}: the rank is a positive number, or 0 for none")
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
        raise ValueError(f"lora={rank}: this body has no linear projections in attentions to adapt")
    return new


def in_attention(name: str) -> bool:
    """Is it inside a module that is called an attention: attention, self_attn, SelfAttention?"""
    return any("attn" in part or "attention" in part for part in name.lower().split(".")[:-1])
