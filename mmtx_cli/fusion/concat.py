"""Joint self-attention over the tokens of all modalities in one sequence."""

from collections.abc import Sequence

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.layer.modality_sequence import ModalitySequence
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import Streams, Tokens


class ConcatFusion(Fusion):
    """Joint self-attention over the concatenated tokens of all modalities.

    A learned embedding marks the modality of each token; ``depth`` blocks follow (VisualBERT, Li et
    al. 2019; UNITER, Chen et al. 2020).
    """

    def __init__(
        self,
        dim: int,
        modalities: Sequence[str],
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dim, modalities)
        self.sequenced = ModalitySequence(dim, self.modalities)
        self.transformer = Transformer(dim, depth, num_heads, mlp_ratio, dropout)

    def fuse(self, streams: Streams) -> Tokens:
        """Return the tokens of all modalities after joint self-attention."""
        tokens = self.sequenced(streams)
        return Tokens(self.transformer(tokens.x, tokens.mask), tokens.mask)
