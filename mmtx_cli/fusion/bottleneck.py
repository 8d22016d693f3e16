"""Fusion through a few shared bottleneck tokens."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.layer.modality_sequence import any_present
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.layer.transformer import Block
from mmtx_cli.types import Streams, Tokens


class BottleneckFusion(Fusion):
    """Attention bottlenecks (MBT, Nagrani et al. 2021, eq. 8-9).

    In each of ``depth`` layers, every modality attends to itself and to ``num_bottlenecks`` shared
    tokens, in blocks of its own; the shared tokens become the mean of their updates by the
    modalities that are present.
    """

    def __init__(
        self,
        dim: int,
        modalities: Sequence[str],
        num_bottlenecks: int = 4,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dim, modalities)
        if num_bottlenecks < 1 or depth < 1:
            raise ValueError(
                f"num_bottlenecks={num_bottlenecks}, depth={depth}: both must be at least 1"
            )
        self.bottleneck = nn.Parameter(torch.empty(num_bottlenecks, dim).normal_(std=0.02))
        self.layers = nn.ModuleList(
            nn.ModuleDict({m: Block(dim, num_heads, mlp_ratio, dropout) for m in self.modalities})
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def fuse(self, streams: Streams) -> Tokens:
        """Return the shared tokens, then those of all modalities."""
        has_any = any_present(streams)[:, None]
        shared = self.bottleneck.expand(has_any.shape[0], -1, -1)
        x = {m: streams[m].x for m in self.modalities}
        for layer in self.layers:
            updates = {}
            for m in self.modalities:
                mask = torch.cat([has_any.expand(shared.shape[:2]), streams[m].mask], dim=1)
                output = layer[m](torch.cat([shared, x[m]], dim=1), mask)  # type: ignore[index]
                updates[m], x[m] = output.split([shared.shape[1], x[m].shape[1]], dim=1)
            shared = self.mean(updates, streams)
        mask = torch.cat(
            [has_any.expand(shared.shape[:2]), *(streams[m].mask for m in self.modalities)], dim=1
        )
        joined = self.norm(torch.cat([shared, *x.values()], dim=1))
        return Tokens(joined, mask)

    def mean(self, updates: dict[str, Tensor], streams: Streams) -> Float[Tensor, "b n d"]:
        """Average the updates of the shared tokens over the modalities of each sample."""
        present = torch.stack([streams[m].present for m in updates], dim=1)
        stacked = torch.stack([*updates.values()], dim=1)
        return masked_mean(stacked.flatten(2), present).view_as(stacked[:, 0])
