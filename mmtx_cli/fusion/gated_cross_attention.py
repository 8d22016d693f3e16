"""Cross-attention whose gate is closed at first."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.modality_sequence import Sequenced, StandIns
from mmtx_cli.layer.transformer import FeedForward
from mmtx_cli.types import Streams, Tokens


class GatedCrossAttentionFusion(Fusion):
    """Gated cross-attention (Flamingo, Alayrac et al. 2022, fig. 4): what a modality sees in the
    others is added through tanh gates that begin at 0, so that a trained, frozen model begins
    unchanged: the fused stream is at first that of the ``query`` modalities.

    A learned token stands in for a query modality that a sample lacks.
    """

    naming: ClassVar[tuple[str, ...]] = ("query", "context")

    def __init__(
        self,
        dim: int,
        modalities: Sequence[str],
        query: Sequence[str] | None = None,
        context: Sequence[str] | None = None,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        """``query`` modalities look at those of ``context``, but for themselves; all by default.

        Raises:
            ValueError: for names that are none, and if one has nothing to look at.
        """
        super().__init__(dim, modalities)
        sources = self.sources(query, context)
        self.query = tuple(sources)
        looking = self.query if len(self.modalities) > 1 else ()
        self.stand_ins = StandIns(dim, looking)
        self.sequenced = nn.ModuleDict({m: Sequenced(dim, sources[m]) for m in looking})
        self.norm = nn.ModuleDict({m: nn.LayerNorm(dim) for m in looking})
        self.layers = nn.ModuleDict(
            {
                m: nn.ModuleList(
                    GatedLayer(dim, num_heads, mlp_ratio, dropout) for _ in range(depth)
                )
                for m in looking
            }
        )

    def fuse(self, streams: Streams) -> Tokens:
        """Tokens of the query modalities, one modality after the other."""
        seen = self.stand_ins(streams)
        made = {m: seen[m].x for m in self.query}
        for m, layers in self.layers.items():
            context = self.sequenced[m](streams)
            normed = self.norm[m](context.x)
            for layer in layers:  # type: ignore[attr-defined]
                made[m] = layer(made[m], normed, context.mask)
        mask = torch.cat([seen[m].mask for m in self.query], dim=1)
        x = torch.cat([*made.values()], dim=1)
        return Tokens(x, mask)


class GatedLayer(nn.Module):
    """Cross-attention and feed-forward, each behind a gate."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, mlp_ratio, dropout)
        self.gate = nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor, context: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[b, n, d] looks at [b, m, d] where ``mask`` [b, m] is True."""
        look, think = self.gate.tanh()
        x = x + look * self.attention(self.norm1(x), context, mask)
        return x + think * self.feed_forward(self.norm2(x))
