"""Output layer of heads: from streams of tokens to a few scores per sample."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.layer.score_fusion import ScoreFusion
from mmtx_cli.types import Streams


class Readout(nn.Module):
    """Mean of a stream's real tokens, norm, linear; scores of several streams are fused."""

    def __init__(
        self, dim: int, reads: Sequence[str], outputs: int, dropout: float = 0.0, vote: str = "mean"
    ) -> None:
        """Create an output layer per stream.

        Args:
            dim: Width of the streams.
            reads: Names of the streams.
            outputs: Number of scores per sample.
            dropout: Dropout rate before the linear layer.
            vote: How the scores of several streams are fused: a kind of ``layer/score_fusion.py``.
        """
        super().__init__()
        self.reads = tuple(reads)
        self.score = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(dim), nn.Dropout(dropout), nn.Linear(dim, outputs))
                for name in self.reads
            }
        )
        self.vote = ScoreFusion(vote, self.reads, outputs)

    def forward(self, streams: Streams) -> Float[Tensor, "b c"]:
        """Return the scores; those of a sample without any of the streams are meaningless."""
        selected = {name: streams[name] for name in self.reads}
        scores = {name: self.score[name](masked_mean(s.x, s.mask)) for name, s in selected.items()}
        return self.vote(scores, {name: stream.present for name, stream in selected.items()})
