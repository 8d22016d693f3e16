"""Fusion into a few learned latent tokens."""

from collections.abc import Sequence

import torch
from torch import nn

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.modality_sequence import ModalitySequence
from mmtx_cli.layer.transformer import Block
from mmtx_cli.types import Streams, Tokens


class PerceiverFusion(Fusion):
    """``num_latents`` learned tokens that read all modalities (Perceiver, Jaegle et al. 2021).

    They attend to the tokens of all modalities, then to each other, ``depth`` times. The cost is
    linear in the number of tokens.
    """

    def __init__(
        self,
        dim: int,
        modalities: Sequence[str],
        num_latents: int = 16,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dim, modalities)
        if num_latents < 1 or depth < 1:
            raise ValueError(f"num_latents={num_latents}, depth={depth}: both must be at least 1")
        self.latents = nn.Parameter(torch.empty(num_latents, dim).normal_(std=0.02))
        self.sequenced = ModalitySequence(dim, self.modalities)
        self.norm_input = nn.LayerNorm(dim)
        self.norm = nn.ModuleList(nn.LayerNorm(dim) for _ in range(depth))
        self.read = nn.ModuleList(Attention(dim, num_heads, dropout) for _ in range(depth))
        self.block = nn.ModuleList(Block(dim, num_heads, mlp_ratio, dropout) for _ in range(depth))
        self.norm_out = nn.LayerNorm(dim)

    def fuse(self, streams: Streams) -> Tokens:
        """Return the latents of each sample with at least one modality."""
        tokens = self.sequenced(streams)
        context = self.norm_input(tokens.x)
        x = self.latents.expand(context.shape[0], -1, -1)
        for norm, read, block in zip(self.norm, self.read, self.block, strict=True):
            x = block(x + read(norm(x), context, tokens.mask))
        mask = tokens.present[:, None].expand(x.shape[:2])
        return Tokens(self.norm_out(x), mask)
