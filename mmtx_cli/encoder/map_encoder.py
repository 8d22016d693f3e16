"""Base class of encoders of a backbone's feature map, whose output can be cached."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.encoder.base import Encoder, encode_pictures
from mmtx_cli.layer.input.cnn_tokens import FeatureMap
from mmtx_cli.layer.input.pixel_norm import Pixels
from mmtx_cli.types import ModalityInput, Tokens


class MapEncoder(Encoder):
    """Encode images by the cells of a backbone's feature map."""

    keeps_body: ClassVar[bool] = True
    body_prefix: ClassVar[str] = "map.body."
    behind_body: ClassVar[tuple[str, ...]] = ("freeze", "width", "depth", "num_heads", "dropout")

    map: FeatureMap
    pixels: Pixels
    image_size: int

    def body_tokens(self, field: ModalityInput) -> Tokens:
        """Return the cells of the feature maps, [b, l * cells, channels], image by image."""
        return encode_pictures(
            field, lambda pictures: self.map.features(self.pixels(pictures)).flatten(2).mT
        )

    def after_body(self, tokens: Tokens) -> Tokens:
        """Return what ``forward`` returns for the field that ``body_tokens`` was computed from."""
        height, width = self.map_size(tokens.x)
        x, mask, cells = tokens.x, tokens.mask, height * width
        if padding := -x.shape[1] % cells:  # a batch without any image has a single token
            x, mask = F.pad(x, (0, 0, 0, padding)), F.pad(mask, (0, padding))
        pictures = x.reshape(-1, cells, x.shape[2])
        encoded = self.map.tokens(pictures, height, width)
        return Tokens(encoded.reshape(x.shape[0], -1, self.width), mask)

    def map_size(self, like: Tensor) -> tuple[int, int]:
        """Return the height and width of an image's feature map in cells, found by a trial run."""
        if not hasattr(self, "_map_size"):
            image = torch.zeros(1, 3, self.image_size, self.image_size, device=like.device)
            training = self.map.body.training
            with torch.no_grad():
                height, width = self.map.eval().features(image.to(like.dtype)).shape[2:]
            self.map.train(self.training)
            assert self.map.body.training == training, "training mode was not restored"
            self._map_size = int(height), int(width)
        return self._map_size
