"""Score fusion: rules of decision-level (late) fusion of several streams.

Shape letters: b batch, c outputs (classes).
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

KINDS = ("mean", "weights", "product", "stacking")


class ScoreFusion(nn.Module):
    """Fuse the scores of several streams; streams that a sample lacks are ignored.

    - "mean": the mean of the scores.
    - "weights": a mean with a learned weight per stream, a softmax over those that are present.
    - "product": the sum of the scores: of logits, the normalized product of the streams'
      probabilities under a uniform prior (product of experts, Hinton 2002, eq. 1).
    - "stacking": a linear layer over all scores and the presence of the streams (stacked
      generalization, Wolpert 1992), trained jointly; initialized as the mean over all streams.

    With a single stream, its scores are returned.
    """

    def __init__(self, kind: str, streams: Sequence[str], outputs: int) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"vote={kind!r} is not one of {', '.join(KINDS)}")
        self.streams = tuple(streams)
        self.kind = kind if len(self.streams) > 1 else "mean"
        m = len(self.streams)
        if self.kind == "weights":
            self.weight = nn.Parameter(torch.zeros(m))
        if self.kind == "stacking":
            self.stack = nn.Linear(m * outputs + m, outputs)
            with torch.no_grad():
                self.stack.weight.zero_()
                self.stack.weight[:, : m * outputs] = torch.eye(outputs).repeat(1, m) / m
                self.stack.bias.zero_()

    def forward(
        self, scores: Mapping[str, Float[Tensor, "b c"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b c"]:
        """Return the fused scores; zeros for a sample that has none of the streams."""
        mask = torch.stack([present[name] for name in self.streams], dim=1)
        stacked = torch.stack([scores[name] for name in self.streams], dim=1) * mask[..., None]
        if self.kind == "stacking":
            fused = self.stack(torch.cat([stacked.flatten(1), mask.to(stacked.dtype)], dim=1))
            return fused * mask.any(dim=1, keepdim=True)
        if self.kind == "product":
            return stacked.sum(dim=1)
        return (stacked * self.shares(mask)[..., None]).sum(dim=1)

    def shares(self, mask: Bool[Tensor, "b m"]) -> Float[Tensor, "b m"]:
        """Return the weight of each stream that is present; they add up to 1."""
        weights = mask.float()
        if self.kind == "weights":
            weights = weights * (self.weight - self.weight.amax().detach()).exp()
        return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
