"""Feature-wise linear modulation of some modalities by others."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.layer.modality_sequence import MissingModalityTokens
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import Streams, Tokens


class FilmFusion(Fusion):
    """Feature-wise linear modulation (FiLM, Perez et al. 2018, eq. 1-2): gamma * x + beta.

    gamma and beta are linear in the ``condition``; they are 1 and 0 for a sample that lacks it. The
    tokens of the other modalities pass ``depth`` residual blocks with this modulation. A learned
    token replaces a modality that a sample lacks.
    """

    naming: ClassVar[tuple[str, ...]] = ("condition",)

    def __init__(
        self,
        dim: int,
        modalities: Sequence[str],
        condition: Sequence[str] | None = None,
        depth: int = 2,
        dropout: float = 0.0,
    ) -> None:
        """``condition`` defaults to text, or without text to the first modality by name.

        Several conditions are averaged.
        """
        super().__init__(dim, modalities)
        default = "text" if "text" in self.modalities else self.modalities[0]
        self.condition = self.named("condition", [default] if condition is None else condition)
        single = len(self.modalities) == 1
        if not single and len(self.condition) == len(self.modalities):
            raise ValueError("condition: must leave at least one modality to modulate")
        if single:
            self.condition = ()
        self.target = tuple(m for m in self.modalities if m not in self.condition)
        self.norm = nn.ModuleDict({m: nn.LayerNorm(dim) for m in self.condition})
        self.stand_ins = MissingModalityTokens(dim, () if single else self.target)
        self.blocks = nn.ModuleDict(
            {
                m: nn.ModuleList(
                    FilmBlock(dim, dropout, bool(self.condition)) for _ in range(depth)
                )
                for m in self.target
            }
        )
        self.norm_out = nn.LayerNorm(dim)

    def fuse(self, streams: Streams) -> Tokens:
        """Return the tokens of the modulated modalities."""
        filled = self.stand_ins(streams)
        condition = self.conditions(streams)
        outputs = []
        for m, blocks in self.blocks.items():
            x = filled[m].x
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, condition)
            outputs.append(x)
        mask = torch.cat([filled[m].mask for m in self.target], dim=1)
        x = self.norm_out(torch.cat(outputs, dim=1))
        return Tokens(x, mask)

    def conditions(
        self, streams: Streams
    ) -> tuple[Float[Tensor, "b d"], Bool[Tensor, " b"]] | None:
        """Return one condition vector per sample, and which samples have one."""
        if not self.condition:
            return None
        present = torch.stack([streams[m].present for m in self.condition], dim=1)
        vectors = [self.norm[m](masked_mean(streams[m].x, streams[m].mask)) for m in self.condition]
        return masked_mean(torch.stack(vectors, dim=1), present), present.any(dim=1)


class FilmBlock(nn.Module):
    """Residual block: norm, linear, modulation, GELU, linear."""

    def __init__(self, dim: int, dropout: float, conditioned: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.first, self.second = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.modulation = nn.Linear(dim, 2 * dim) if conditioned else None

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        condition: tuple[Float[Tensor, "b d"], Bool[Tensor, " b"]] | None,
    ) -> Float[Tensor, "b n d"]:
        """Apply the block; ``condition`` is one vector per sample, and which samples have one."""
        y = self.first(self.norm(x))
        if condition is not None:
            assert self.modulation is not None
            vector, present = condition
            scale, shift = (self.modulation(vector) * present[:, None])[:, None].chunk(2, dim=2)
            y = (1 + scale) * y + shift
        return x + self.dropout(self.second(nn.functional.gelu(y)))
