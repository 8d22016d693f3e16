"""What every fusion is: streams in, streams out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import FUSED, Streams, Tokens


class Fusion(nn.Module, ABC):
    """Joins the streams of the modalities, all of width ``dim``.

    A feature-level fusion writes ``fuse`` and thereby adds the stream "fused"; the unimodal
    streams stay. Any subset of the modalities may be present; their order has no meaning.
    """

    joins: ClassVar[bool] = True
    """Does it add the stream "fused"? Else the heads score every modality by itself and vote."""

    naming: ClassVar[tuple[str, ...]] = ()
    """The arguments that name modalities: ``check`` holds them against the encoders."""

    vote: str = "mean"
    """How heads join what several streams say: a kind of ``layer/score_fusion.py``."""

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__()
        self.dim = dim
        self.modalities = tuple(sorted(modalities))

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that ``forward`` returns."""
        return (*self.modalities, FUSED) if self.joins else self.modalities

    def forward(self, streams: Streams) -> Streams:
        """Add the fused stream, where this fusion makes one: zero where nothing is real."""
        fused = self.fuse(streams)
        if fused is None:
            return streams
        x = fused.x.masked_fill(~fused.mask[..., None], 0)
        return {**streams, FUSED: Tokens(x, fused.mask)}

    @abstractmethod
    def fuse(self, streams: Streams) -> Tokens | None:
        """Join the streams into one; None leaves joining to the heads."""

    def named(self, argument: str, names: Sequence[str] | None) -> tuple[str, ...]:
        """The modalities that an argument names, sorted; all of them for None.

        Raises:
            ValueError: for one that the model has not, or an empty list.
        """
        chosen = self.modalities if names is None else tuple(sorted({*names}))
        for name in chosen:
            if name not in self.modalities:
                there = ", ".join(self.modalities)
                raise ValueError(f"{argument}: there is no modality {name!r} (there are {there})")
        if not chosen:
            raise ValueError(f"{argument} is empty: name at least one modality")
        return chosen

    def sources(
        self, query: Sequence[str] | None, context: Sequence[str] | None
    ) -> dict[str, list[str]]:
        """What each ``query`` modality looks at: those of ``context`` but itself; None is all.

        A modality that is alone looks at nothing.

        Raises:
            ValueError: for names that are none, and if one of several has nothing to look at.
        """
        shown = self.named("context", context)
        found = {m: [c for c in shown if c != m] for m in self.named("query", query)}
        for name, others in found.items():
            if len(self.modalities) > 1 and not others:
                raise ValueError(f"query: {name!r} would look at nothing but itself; see context")
        return found


class PooledFusion(Fusion):
    """A fusion of one vector a modality: the normalised mean of its tokens, zero where absent.

    A subclass writes ``combine``; the fused stream is one token.
    """

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__(dim, modalities)
        self.norm = nn.ModuleDict({m: nn.LayerNorm(dim) for m in self.modalities})

    def fuse(self, streams: Streams) -> Tokens:
        """One token for the samples that have anything."""
        present = {m: streams[m].present for m in self.modalities}
        vectors = {m: self.vector(m, streams[m]) for m in self.modalities}
        some = torch.stack([*present.values()]).any(dim=0)[:, None]
        return Tokens(self.combine(vectors, present)[:, None], some)

    def vector(self, name: str, tokens: Tokens) -> Float[Tensor, "b d"]:
        """Mean of the real tokens, normalised."""
        x = self.norm[name](masked_mean(tokens.x, tokens.mask))
        return x.masked_fill(~tokens.present[:, None], 0)

    @abstractmethod
    def combine(
        self, vectors: Mapping[str, Float[Tensor, "b d"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b d"]:
        """Join one vector a modality into one; what is absent must not matter."""
