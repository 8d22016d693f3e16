"""Cross-attention between all modalities."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import nn

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.modality_sequence import MissingModalityTokens, ModalitySequence
from mmtx_cli.layer.transformer import Block
from mmtx_cli.types import Streams, Tokens


class CrossAttentionFusion(Fusion):
    """Co-attention (ViLBERT, Lu et al. 2019; LXMERT, Tan and Bansal 2019).

    In each of ``depth`` layers, the tokens of every modality attend to those of all others, then to
    their own. A learned token replaces a modality that a sample lacks, so that the result of its
    cross-attention is kept.
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

        The fused stream consists of the queries' tokens. Modalities that are only context are not
        updated: MulT's directional attention (Tsai et al. 2019).

        Raises:
            ValueError: If a name is unknown, or a query would attend to nothing.
        """
        super().__init__(dim, modalities)
        sources = self.sources(query, context)
        self.query = tuple(sources)
        self.stand_ins = MissingModalityTokens(dim, self.query if len(self.modalities) > 1 else ())
        self.layers = nn.ModuleList(
            CrossLayer(sources, dim, num_heads, mlp_ratio, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def fuse(self, streams: Streams) -> Tokens:
        """Return the tokens of the query modalities, concatenated."""
        filled = self.stand_ins(streams)
        # mask the learned tokens of missing modalities as context
        masks = {m: streams[m].mask for m in self.modalities}
        for layer in self.layers:
            filled = layer(filled, masks)
        mask = torch.cat([filled[m].mask for m in self.query], dim=1)
        x = self.norm(torch.cat([filled[m].x for m in self.query], dim=1))
        return Tokens(x, mask)


class CrossLayer(nn.Module):
    """One layer: all queries attend to the layer's input."""

    def __init__(
        self,
        sources: Mapping[str, Sequence[str]],
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        dropout: float,
    ) -> None:
        """``sources`` maps each query modality to the modalities that it attends to."""
        super().__init__()
        context_names = {c for others in sources.values() for c in others}
        query_names = [m for m, others in sources.items() if others]
        self.norm = nn.ModuleDict(
            {m: nn.LayerNorm(dim) for m in sorted({*query_names, *context_names})}
        )
        self.sequenced = nn.ModuleDict({m: ModalitySequence(dim, sources[m]) for m in query_names})
        self.look = nn.ModuleDict({m: Attention(dim, num_heads, dropout) for m in query_names})
        self.block = nn.ModuleDict({m: Block(dim, num_heads, mlp_ratio, dropout) for m in sources})

    def forward(self, streams: Streams, masks: dict[str, torch.Tensor]) -> Streams:
        """Apply the layer; ``masks`` selects each modality's tokens that others may attend to."""
        normed = {m: norm(streams[m].x) for m, norm in self.norm.items()}
        contexts = {m: Tokens(x, masks[m]) for m, x in normed.items()}
        outputs = dict(streams)
        for m, block in self.block.items():
            x, mask = streams[m].x, streams[m].mask
            if m in self.look:
                context = self.sequenced[m](contexts)
                x = x + self.look[m](normed[m], context.x, context.mask)
            outputs[m] = Tokens(block(x, mask), mask)
        return outputs
