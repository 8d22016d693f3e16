"""Late fusion: heads score each modality separately and combine the scores."""

from collections.abc import Sequence
from typing import ClassVar

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.layer.score_fusion import KINDS
from mmtx_cli.types import Streams


class DecisionFusion(Fusion):
    """Late fusion: no stream is added; a head scores each modality and fuses the scores.

    Missing modalities are ignored. With a contrastive head this is a dual encoder like CLIP.
    """

    joins: ClassVar[bool] = False

    def __init__(self, dim: int, modalities: Sequence[str], vote: str = "mean") -> None:
        """``vote``: "mean" of the scores, learned "weights", "product" of experts or "stacking"."""
        super().__init__(dim, modalities)
        if vote not in KINDS:
            raise ValueError(f"vote={vote!r} is not one of {', '.join(KINDS)}")
        self.vote = vote

    def fuse(self, streams: Streams) -> None:
        """Return None: nothing is fused before the heads."""
