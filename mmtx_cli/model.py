"""The model: encode each modality, fuse, and let every head speak."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.fusion.base import Fusion
from mmtx_cli.head.base import Head
from mmtx_cli.types import Batch, Field, Prediction, Streams, Tokens


class MultimodalModel(nn.Module):
    """Encoders by modality, one fusion, heads by name.

    The projection from an encoder's own width to the shared ``dim`` lives here, so that every
    fusion sees one width.
    """

    def __init__(
        self, dim: int, encoders: Mapping[str, Encoder], fusion: Fusion, heads: Mapping[str, Head]
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(encoders)
        self.project = nn.ModuleDict(
            {name: nn.Linear(encoder.width, dim) for name, encoder in encoders.items()}
        )
        self.fusion = fusion
        self.head = nn.ModuleDict(heads)

    def forward(self, batch: Batch) -> dict[str, Prediction]:
        """Run every head on what it wants to see."""
        streams = self.fusion(self.encode(batch))
        predictions = {}
        for name, head in self.head.items():
            view = head.view(batch)  # masked objectives look at a corrupted copy
            seen = streams if view is batch else self.fusion(self.encode(view))
            predictions[name] = head(seen, view)
        return predictions

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Say what every head says of each sample, without targets."""
        streams = self.fusion(self.encode(batch))
        return {name: head.predict(streams, batch) for name, head in self.head.items()}

    def encode(self, batch: Batch) -> Streams:
        """One stream a modality, of the shared width, zero where nothing is real."""
        return {name: self.encode_one(name, batch.inputs[name]) for name in self.encoder}

    def encode_one(self, name: str, field: Field) -> Tokens:
        """Encode and project one modality."""
        tokens = self.encoder[name](field)
        x = self.project[name](tokens.x).masked_fill(~tokens.mask[..., None], 0)
        return Tokens(x, tokens.mask)
