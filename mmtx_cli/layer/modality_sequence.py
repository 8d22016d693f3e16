"""Tokens of several modalities as one sequence."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.types import Streams, Tokens


class ModalitySequence(nn.Module):
    """Concatenate streams, each marked with a learned embedding of its modality."""

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__()
        # keyed by name, so that a model of other modalities can be initialized with these weights
        self.kind = nn.ParameterDict({m: torch.empty(dim).normal_(std=0.02) for m in modalities})

    def forward(self, streams: Streams) -> Tokens:
        """Concatenate the streams in the order of the constructor's ``modalities``."""
        embedded = [streams[name].x + kind for name, kind in self.kind.items()]
        mask = torch.cat([streams[name].mask for name in self.kind], dim=1)
        return Tokens(torch.cat(embedded, dim=1), mask)


class MissingModalityTokens(nn.Module):
    """Replace each missing modality of a sample by a learned token, if it has another modality."""

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__()
        self.token = nn.ParameterDict({m: torch.empty(dim).normal_(std=0.02) for m in modalities})

    def forward(self, streams: Streams) -> Streams:
        """Return the streams with learned tokens for missing modalities; others are unchanged."""
        has_any = any_present(streams)
        return {
            **streams,
            **{m: fill_missing(streams[m], t, has_any) for m, t in self.token.items()},
        }


def any_present(streams: Streams) -> Bool[Tensor, " b"]:
    """Return which samples have at least one modality."""
    return torch.stack([tokens.present for tokens in streams.values()]).any(dim=0)


def fill_missing(tokens: Tokens, token: Float[Tensor, " d"], where: Bool[Tensor, " b"]) -> Tokens:
    """Insert ``token`` at the first position of samples in ``where`` that lack the modality."""
    missing = where & ~tokens.present
    first = torch.zeros_like(tokens.mask)
    first[:, 0] = True
    first = first & missing[:, None]
    return Tokens(torch.where(first[..., None], token, tokens.x), tokens.mask | first)
