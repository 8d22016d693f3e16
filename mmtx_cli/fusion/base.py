"""The ``Fusion`` base class: streams of tokens in, streams of tokens out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import FUSED, Streams, Tokens


class Fusion(nn.Module, ABC):
    """Fuse the streams of the modalities, all of width ``dim``.

    A feature-level fusion implements ``fuse``, whose result is added as the stream "fused"; the
    unimodal streams are kept. Any subset of the modalities may be present; their order has no
    effect.
    """

    joins: ClassVar[bool] = True
    """True if the stream "fused" is added; otherwise heads fuse the scores of the modalities."""

    naming: ClassVar[tuple[str, ...]] = ()
    """Arguments that name modalities, which validation compares with the encoders."""

    vote: str = "mean"
    """How heads fuse the scores of several streams: a kind of ``layer/score_fusion.py``."""

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__()
        self.dim = dim
        self.modalities = tuple(sorted(modalities))

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that ``forward`` returns."""
        return (*self.modalities, FUSED) if self.joins else self.modalities

    def forward(self, streams: Streams) -> Streams:
        """Add the fused stream, if this fusion makes one; zeros where its mask is False."""
        fused = self.fuse(streams)
        if fused is None:
            return streams
        x = fused.x.masked_fill(~fused.mask[..., None], 0)
        return {**streams, FUSED: Tokens(x, fused.mask)}

    @abstractmethod
    def fuse(self, streams: Streams) -> Tokens | None:
        """Fuse the streams into one; return None to leave this to the heads (late fusion)."""

    def named(self, argument: str, names: Sequence[str] | None) -> tuple[str, ...]:
        """Return the modalities that an argument names, sorted; all of them for None.

        Raises:
            ValueError: If the model lacks one of them, or the list is empty.
        """
        chosen = self.modalities if names is None else tuple(sorted({*names}))
        for name in chosen:
            if name not in self.modalities:
                available = ", ".join(self.modalities)
                raise ValueError(f"{argument}: unknown modality {name!r}; choose from {available}")
        if not chosen:
            raise ValueError(f"{argument} is empty: name at least one modality")
        return chosen

    def sources(
        self, query: Sequence[str] | None, context: Sequence[str] | None
    ) -> dict[str, list[str]]:
        """Return, for each ``query`` modality, the ``context`` modalities that it attends to.

        None means all modalities. No modality attends to itself; a single one attends to nothing.

        Raises:
            ValueError: If a name is unknown, or one of several modalities would attend to nothing.
        """
        allowed = self.named("context", context)
        sources = {m: [c for c in allowed if c != m] for m in self.named("query", query)}
        for name, others in sources.items():
            if len(self.modalities) > 1 and not others:
                raise ValueError(f"query: {name!r} has no other modality to attend to; see context")
        return sources


class PooledFusion(Fusion):
    """Fusion of one vector per modality: the normalized mean of its tokens, zeros if it is missing.

    Subclasses implement ``combine``; the fused stream is one token.
    """

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__(dim, modalities)
        self.norm = nn.ModuleDict({m: nn.LayerNorm(dim) for m in self.modalities})

    def fuse(self, streams: Streams) -> Tokens:
        """Return one token for each sample with at least one modality."""
        present = {m: streams[m].present for m in self.modalities}
        vectors = {m: self.vector(m, streams[m]) for m in self.modalities}
        any_present = torch.stack([*present.values()]).any(dim=0)[:, None]
        return Tokens(self.combine(vectors, present)[:, None], any_present)

    def vector(self, name: str, tokens: Tokens) -> Float[Tensor, "b d"]:
        """Return the normalized mean of the real tokens."""
        x = self.norm[name](masked_mean(tokens.x, tokens.mask))
        return x.masked_fill(~tokens.present[:, None], 0)

    @abstractmethod
    def combine(
        self, vectors: Mapping[str, Float[Tensor, "b d"]], present: Mapping[str, Bool[Tensor, " b"]]
    ) -> Float[Tensor, "b d"]:
        """Combine one vector per modality into one; missing modalities must not affect it."""
