"""Differences between consecutive time steps of a video."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


class Change(nn.Module):
    """The differences between the tokens of consecutive time steps, normalized and projected.

    Most of a video does not change between time steps, so that without the differences motion is a
    few percent of the input of a Transformer over time (compare the temporal differences of
    CLIP2Video, Fang et al. 2021, section 3.2).
    """

    def __init__(self, dim: int, amount: bool = False) -> None:
        """``amount`` adds a projection of the unnormalized differences.

        Normalized differences show where something changes but not how much. Tokens that see only
        their own patch need the amount to distinguish speeds.
        """
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, dim)
        self.amount = nn.Linear(dim, dim, bias=False) if amount else None

    def forward(
        self, x: Float[Tensor, "b t n d"], mask: Bool[Tensor, "b t k"]
    ) -> Float[Tensor, "b t n d"]:
        """Return the changes; ``mask`` is per time step (k = 1) or per token (k = n)."""
        change = differences(x, mask)
        projected: Tensor = self.project(self.norm(change))
        return projected if self.amount is None else projected + self.amount(change)


def differences(
    x: Float[Tensor, "b t n d"], mask: Bool[Tensor, "b t k"]
) -> Float[Tensor, "b t n d"]:
    """Subtract the previous time step from each token; zeros where either is missing."""
    both = (mask[:, 1:] & mask[:, :-1])[..., None]
    return F.pad((x[:, 1:] - x[:, :-1]) * both, (0, 0, 0, 0, 1, 0))
