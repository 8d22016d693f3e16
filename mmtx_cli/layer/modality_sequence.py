"""Tokens of several modalities as one sequence."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.types import Streams, Tokens


class Sequenced(nn.Module):
    """Puts streams one after the other, each marked by a learned embedding of its modality."""

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__()
        # by name: a model of other modalities that begins with these weights finds its own
        self.kind = nn.ParameterDict({m: torch.empty(dim).normal_(std=0.02) for m in modalities})

    def forward(self, streams: Streams) -> Tokens:
        """In the order of the names that it was made with."""
        marked = [streams[name].x + kind for name, kind in self.kind.items()]
        mask = torch.cat([streams[name].mask for name in self.kind], dim=1)
        return Tokens(torch.cat(marked, dim=1), mask)


class StandIns(nn.Module):
    """A learned token takes the place of a modality that a sample lacks while it has another."""

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__()
        self.token = nn.ParameterDict({m: torch.empty(dim).normal_(std=0.02) for m in modalities})

    def forward(self, streams: Streams) -> Streams:
        """The streams, of which no present sample lacks one; others pass as they are."""
        some = anything(streams)
        return {**streams, **{m: stand_in(streams[m], t, some) for m, t in self.token.items()}}


def anything(streams: Streams) -> Bool[Tensor, " b"]:
    """Which samples have anything at all."""
    return torch.stack([tokens.present for tokens in streams.values()]).any(dim=0)


def stand_in(tokens: Tokens, token: Float[Tensor, " d"], where: Bool[Tensor, " b"]) -> Tokens:
    """``token`` at the first place of the samples in ``where`` that have nothing here."""
    needed = where & ~tokens.present
    first = torch.zeros_like(tokens.mask)
    first[:, 0] = True
    first = first & needed[:, None]
    return Tokens(torch.where(first[..., None], token, tokens.x), tokens.mask | first)
