"""Convolutional backbones of torchvision and a Transformer over the cells of their feature map."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.encoder.backbone.base import torchvision_model
from mmtx_cli.encoder.base import encode_pictures
from mmtx_cli.encoder.map_encoder import MapEncoder
from mmtx_cli.layer.input.cnn_tokens import FeatureMap
from mmtx_cli.layer.input.pixel_norm import IMAGENET_MEAN, IMAGENET_STD, Pixels
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import ModalityInput, Tokens

TRANSFORMERS = "for ViT and Swin use encoder/image=torchvision_vit"


class CnnImageEncoder(MapEncoder):
    """Any torchvision classifier with a convolutional backbone: ResNet, EfficientNet, …"""

    def __init__(
        self,
        image_size: int = 224,
        body: str = "resnet18",
        weights: str | None = None,
        freeze: bool | int = False,
        stride: int = 32,
        width: int = 256,
        depth: int = 2,
        num_heads: int = 4,
        dropout: float = 0.0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """``body`` is the torchvision name of the backbone.

        ``weights`` is a torchvision weights name ("DEFAULT", "IMAGENET1K_V1": downloaded once), a
        local state-dict file, or null. ``stride`` is the maximum stride of the feature map: later
        layers are removed. ``freeze`` freezes the backbone (true) or its stem and first n stages,
        including batch-norm statistics.
        """
        super().__init__()
        self.width, self.image_size = width, image_size
        self.pixels = Pixels(mean, std)
        features, channels = convolutional_body(body, weights, stride)
        grid = max(image_size // stride, 1)
        self.map = FeatureMap(
            features, channels, freeze, grid, width, depth, num_heads, dropout, stages(features)
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
        """Return the backbone's stem, then its stages."""
        return stages(self.map.body)

    def portable(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {"weights": None}


def convolutional_body(name: str, weights: str | None, stride: int) -> tuple[nn.Module, int]:
    """Return the layers of a torchvision model up to ``stride``, and their number of channels.

    Raises:
        ValueError: If the model is not convolutional, or its weights cannot be found or read.
    """
    if name.startswith("swin"):
        raise ValueError(f"{name!r} is not a convolutional backbone; {TRANSFORMERS}")
    model = torchvision_model(name, weights)
    parts = list(model.features) if hasattr(model, "features") else resnet_parts(model, name)
    return cut_at_stride(parts, stride, name)


def stages(body: nn.Module) -> list[nn.Module]:
    """Return the stem, up to the first layer with submodules, then each further layer."""
    layers = list(body.children())
    deep = (i for i, layer in enumerate(layers) if next(layer.children(), None) is not None)
    first = max(1, next(deep, 1))
    return [nn.ModuleList(layers[:first]), *layers[first:]]


def resnet_parts(model: nn.Module, name: str) -> list[nn.Module]:
    """Return the layers of a ResNet-like model before its pooling."""
    children = dict(model.named_children())
    if "layer4" not in children:
        raise ValueError(f"{name!r} has neither .features nor .layer1 … .layer4; {TRANSFORMERS}")
    return [module for key, module in children.items() if key not in ("avgpool", "fc")]


def cut_at_stride(parts: list[nn.Module], stride: int, name: str) -> tuple[nn.Module, int]:
    """Keep the leading layers whose feature map has a stride of at most ``stride`` pixels."""
    side = 4 * stride
    kept, channels, x = [], 0, torch.zeros(1, 3, side, side)
    with torch.no_grad():
        for part in parts:
            x = part.eval()(x)
            if side // x.shape[-1] > stride:
                break
            kept.append(part)
            channels = x.shape[1]
    if not kept or x.dim() != 4:
        raise ValueError(f"{name!r} has no feature map at stride {stride}")
    return nn.Sequential(*kept).train(), channels
