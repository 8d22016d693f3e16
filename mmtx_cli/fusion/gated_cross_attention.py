"""Cross-attention with gates that are closed at initialization."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.modality_sequence import MissingModalityTokens, ModalitySequence
from mmtx_cli.layer.transformer import FeedForward
from mmtx_cli.types import Streams, Tokens


class GatedCrossAttentionFusion(Fusion):
    """Gated cross-attention (Flamingo, Alayrac et al. 2022, fig. 4).

    The results of attending to other modalities are added through tanh gates initialized to 0, so
    that a pretrained, frozen model is unchanged at first: the fused stream then equals that of the
    ``query`` modalities. A learned token replaces a query modality that a sample lacks.
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
        """``query`` modalities attend to the others in ``context``; both default to all.

        Raises:
            ValueError: If a name is unknown, or a query would attend to nothing.
        """
        super().__init__(dim, modalities)
        sources = self.sources(query, context)
        self.query = tuple(sources)
        query_names = self.query if len(self.modalities) > 1 else ()
        self.stand_ins = MissingModalityTokens(dim, query_names)
        self.sequenced = nn.ModuleDict({m: ModalitySequence(dim, sources[m]) for m in query_names})
        self.norm = nn.ModuleDict({m: nn.LayerNorm(dim) for m in query_names})
        self.layers = nn.ModuleDict(
            {
                m: nn.ModuleList(
                    GatedLayer(dim, num_heads, mlp_ratio, dropout) for _ in range(depth)
                )
                for m in query_names
            }
        )

    def fuse(self, streams: Streams) -> Tokens:
        """Return the tokens of the query modalities, concatenated."""
        filled = self.stand_ins(streams)
        outputs = {m: filled[m].x for m in self.query}
        for m, layers in self.layers.items():
            context = self.sequenced[m](streams)
            normed = self.norm[m](context.x)
            for layer in layers:  # type: ignore[attr-defined]
                outputs[m] = layer(outputs[m], normed, context.mask)
        mask = torch.cat([filled[m].mask for m in self.query], dim=1)
        x = torch.cat([*outputs.values()], dim=1)
        return Tokens(x, mask)


class GatedLayer(nn.Module):
    """Gated cross-attention and gated feed-forward."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, mlp_ratio, dropout)
        self.gate = nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor, context: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Attend from ``x`` [b, n, d] to ``context`` [b, m, d] where ``mask`` [b, m] is True."""
        attention_gate, feed_forward_gate = self.gate.tanh()
        x = x + attention_gate * self.attention(self.norm1(x), context, mask)
        return x + feed_forward_gate * self.feed_forward(self.norm2(x))
