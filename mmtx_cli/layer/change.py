"""What each moment of a video changes from the one before."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


class Change(nn.Module):
    """The differences between the tokens of successive moments, normalized and projected.

    Most of a video does not change from one moment to the next, so that without them movement is
    a few percent of what a Transformer over time reads (compare the temporal differences of
    CLIP2Video, Fang et al. 2021, section 3.2).
    """

    def __init__(self, dim: int, amount: bool = False) -> None:
        """``amount`` adds a projection of the differences as they are.

        Normalized, they show where something changes and not by how much, which tokens that see
        nothing beyond their own patch need to tell speeds apart.
        """
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, dim)
        self.amount = nn.Linear(dim, dim, bias=False) if amount else None

    def forward(
        self, x: Float[Tensor, "b t n d"], mask: Bool[Tensor, "b t k"]
    ) -> Float[Tensor, "b t n d"]:
        """``mask`` is of each moment (k = 1) or of each token (k = n)."""
        change = differences(x, mask)
        made: Tensor = self.project(self.norm(change))
        return made if self.amount is None else made + self.amount(change)


def differences(
    x: Float[Tensor, "b t n d"], mask: Bool[Tensor, "b t k"]
) -> Float[Tensor, "b t n d"]:
    """Each token less that of the same place one moment before; zero where either is absent."""
    both = (mask[:, 1:] & mask[:, :-1])[..., None]
    return F.pad((x[:, 1:] - x[:, :-1]) * both, (0, 0, 0, 0, 1, 0))
