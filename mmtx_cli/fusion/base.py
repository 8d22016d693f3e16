"""What every fusion is: streams in, streams out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn

from mmtx_cli.types import FUSED, Streams, Tokens


class Fusion(nn.Module, ABC):
    """Joins the streams of the modalities, all of width ``dim``.

    A feature-level fusion writes ``fuse`` and thereby adds the stream "fused"; the unimodal
    streams stay. Any subset of the modalities may be present; their order has no meaning.
    """

    def __init__(self, dim: int, modalities: Sequence[str]) -> None:
        super().__init__()
        self.dim = dim
        self.modalities = tuple(sorted(modalities))

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that ``forward`` returns."""
        return (*self.modalities, FUSED)

    def forward(self, streams: Streams) -> Streams:
        """Add the fused stream, where this fusion makes one."""
        fused = self.fuse(streams)
        return streams if fused is None else {**streams, FUSED: fused}

    @abstractmethod
    def fuse(self, streams: Streams) -> Tokens | None:
        """Join the streams into one; None leaves joining to the heads."""
