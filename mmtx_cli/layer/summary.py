"""One vector per sample from all streams of a head."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import Streams

GAIN = 0.1
"""Initial scale, small compared with the token embeddings to which the summary is added."""


class StreamSummary(nn.Module):
    """The sum over a sample's streams of a projection of each stream's mean token.

    Streams do not compete here as in the softmax of a joint cross-attention, where a stream that is
    not attended to gets no gradient to change that.
    """

    def __init__(self, dim: int, streams: Sequence[str]) -> None:
        super().__init__()
        self.project = nn.ModuleDict(
            {name: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim)) for name in streams}
        )
        with torch.no_grad():
            for name in streams:
                for parameter in self.project[name][1].parameters():  # type: ignore[index]
                    parameter.mul_(GAIN)

    def forward(self, streams: Streams) -> Float[Tensor, "b d"]:
        """Return one vector per sample; missing streams add nothing."""
        parts = []
        for name, project in self.project.items():
            tokens = streams[name]
            parts.append(project(masked_mean(tokens.x, tokens.mask)) * tokens.present[:, None])
        return torch.stack(parts).sum(dim=0)
