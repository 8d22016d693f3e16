"""Late fusion: every modality decides for itself, the head averages the votes."""

from mmtx_cli.fusion.base import Fusion
from mmtx_cli.types import Streams


class DecisionFusion(Fusion):
    """Adds no stream: a head scores each modality and votes over those present.

    With a contrastive head this is a dual encoder as CLIP is.
    """

    @property
    def streams(self) -> tuple[str, ...]:
        """The modalities alone."""
        return self.modalities

    def fuse(self, streams: Streams) -> None:
        """Nothing is joined before the heads."""
