"""Video networks of torchvision without their classifiers, behind a common interface."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.encoder.backbone.base import torchvision_model
from mmtx_cli.layer.input.pixel_norm import Pixels

NAMES = (
    "r3d_18",
    "mc3_18",
    "r2plus1d_18",
    "mvit_v1_b",
    "mvit_v2_s",
    "swin3d_t",
    "swin3d_s",
    "swin3d_b",
)


class VideoBody(nn.Module):
    """A stem, a list of blocks, and a norm. Used directly for the 3D ResNets."""

    def __init__(self, stem: nn.Module, layers: Sequence[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.stem, self.layers, self.norm = stem, nn.ModuleList(layers), norm

    def forward(self, pixels: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c m y x"]:
        """Return the feature map: channels, time steps, rows, columns."""
        x = self.stem(pixels)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def trial(self) -> Float[Tensor, "1 c m y x"]:
        """Return the feature map of a small video: 8 frames of 32 x 32 pixels."""
        return self(torch.zeros(1, 3, 8, 32, 32))

    @torch.no_grad()
    def extent(self, frames: int, side: int) -> tuple[int, int]:
        """Return the time steps, and the cells per side, of the feature map of a video.

        ``frames`` is the number of frames, ``side`` the image size in pixels.
        """
        moments, cells = self.eval().trial().shape[2:4]
        return -(-frames * moments // 8), max(side * cells // 32, 1)


class SwinBody(VideoBody):
    """Video Swin (Liu et al. 2022), whose own layout is channels last."""

    def forward(self, pixels: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c m y x"]:
        """Return the feature map: channels, time steps, rows, columns."""
        return super().forward(pixels).permute(0, 4, 1, 2, 3)


class MvitBody(VideoBody):
    """MViT, whose blocks take tokens, the class token first, and the size of the token grid."""

    def forward(self, pixels: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c m y x"]:
        """Return the feature map: channels, time steps, rows, columns."""
        x, size = self.stem(pixels)
        for layer in self.layers:
            x, size = layer(x, size)
        return self.norm(x)[:, 1:].mT.unflatten(2, size)


class MvitStem(nn.Module):
    """Patches and positions, interpolated for videos of other sizes than 16 x 224 x 224."""

    def __init__(self, convolution: nn.Module, position: Any) -> None:
        super().__init__()
        self.convolution, self.position = convolution, position

    def forward(
        self, pixels: Float[Tensor, "b 3 t h w"]
    ) -> tuple[Float[Tensor, "b n d"], tuple[int, ...]]:
        """Return the tokens, the class token first, and the size of the token grid."""
        x = self.convolution(pixels)
        size = tuple(x.shape[2:])
        x = x.flatten(2).mT
        first = self.position.class_token.expand(x.shape[0], 1, -1)
        if self.position.spatial_pos is not None:
            x = x + self.stretched(size)
            first = first + self.position.class_pos
        return torch.cat([first, x], dim=1), size

    def stretched(self, size: tuple[int, ...]) -> Float[Tensor, "n d"]:
        """Return the learned spatial plus temporal positions, interpolated to ``size``."""
        space, time = self.position.spatial_pos, self.position.temporal_pos
        if tuple(self.position.spatial_size) != size[1:]:
            grid = space.float().T.unflatten(1, tuple(self.position.spatial_size))[None]
            grid = F.interpolate(grid, size=size[1:], mode="bicubic", antialias=True)
            space = grid[0].flatten(1).T
        if len(time) != size[0]:
            time = F.interpolate(time.float().T[None], size=size[:1], mode="linear")[0].T
        return (time[:, None] + space).flatten(0, 1)


def video_body(name: str, weights: str | None, depth: int | None) -> VideoBody:
    """Build a network with its weights, without its classifier and all blocks after ``depth``.

    Raises:
        ValueError: If the network is unknown, or the depth or weights do not fit it.
    """
    check_name(name)
    body = without_classifier(torchvision_model(name, weights))
    if depth is not None and not 0 < depth <= len(body.layers):
        raise ValueError(f"body_depth={depth}: {name} has {len(body.layers)} blocks")
    if depth is not None and depth < len(body.layers):
        # the norm only fits the output of the last block
        body.layers, body.norm = body.layers[:depth], nn.Identity()
    return body


def without_classifier(model: Any) -> VideoBody:
    """Return a torchvision network without its classifier, with its blocks in one list."""
    if hasattr(model, "layer4"):
        stages = model.layer1, model.layer2, model.layer3, model.layer4
        return VideoBody(model.stem, [block for stage in stages for block in stage], nn.Identity())
    if hasattr(model, "patch_embed"):
        parts = [part if isinstance(part, nn.Sequential) else [part] for part in model.features]
        stem = nn.Sequential(model.patch_embed, model.pos_drop)
        return SwinBody(stem, [block for part in parts for block in part], model.norm)
    return MvitBody(MvitStem(model.conv_proj, model.pos_encoding), list(model.blocks), model.norm)


def kinetics_pixels(name: str) -> Pixels:
    """Return the pixel normalization of a network's pretraining."""
    from torchvision.models import get_model_weights

    check_name(name)
    weights: Any = get_model_weights(name)
    transform = weights.DEFAULT.transforms()
    return Pixels(transform.mean, transform.std)


def check_name(name: str) -> None:
    """Raise ValueError if the network is not one of ``NAMES``."""
    if name not in NAMES:
        raise ValueError(f"body={name!r} is not one of {', '.join(NAMES)}")
