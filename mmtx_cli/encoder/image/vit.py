"""A vision Transformer trained from scratch."""

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mmtx_cli.encoder.base import Encoder, encode_pictures
from mmtx_cli.layer.pixels import IMAGENET_MEAN, IMAGENET_STD, Pixels
from mmtx_cli.layer.position import GridPosition
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import Field, Tokens


class ImageViT(Encoder):
    """Patches, learned grid positions and pre-norm blocks (Dosovitskiy et al. 2021).

    There is no class token: a head pools as it needs. With ``stem="conv"`` the patches come from
    stride-2 convolutions instead of one projection, which learns sooner from little data
    (Xiao et al. 2021).
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        width: int = 384,
        depth: int = 6,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        stem: str = "patch",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """``image_size`` sizes the position grid; pictures of other sizes interpolate it."""
        super().__init__()
        if stem not in ("patch", "conv"):
            raise ValueError(f"stem={stem!r} is neither 'patch' nor 'conv'")
        if image_size % patch_size:
            raise ValueError(f"image_size={image_size} is not a multiple of {patch_size=}")
        self.width = width
        self.pixels = Pixels(mean, std)
        self.stem = (
            nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)
            if stem == "patch"
            else conv_stem(width, patch_size)
        )
        self.position = GridPosition(width, image_size // patch_size)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout)

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, l, 3, height, width] for l pictures a sample."""
        return encode_pictures(field, self.encode)

    def encode(self, pixels: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Patches row by row."""
        x = self.stem(self.pixels(pixels))
        positions = self.position(*x.shape[2:])
        return self.transformer(self.dropout(x.flatten(2).mT + positions))

    def blocks(self) -> list[nn.Module]:
        """The stem with its positions, then the blocks."""
        return [nn.ModuleList([self.stem, self.position]), *self.transformer.blocks]


def conv_stem(width: int, stride: int) -> nn.Sequential:
    """Halve the picture until ``stride`` is reached (a power of two), growing to ``width``."""
    if stride < 2 or stride & (stride - 1):
        raise ValueError(f"stem='conv' halves the picture: patch_size={stride} is no power of two")
    steps = stride.bit_length() - 1
    layers: list[nn.Module] = []
    channels = 3
    for step in range(steps):
        out = max(width >> (steps - 1 - step), 8)
        layers += [
            nn.Conv2d(channels, out, 3, stride=2, padding=1),
            nn.GroupNorm(1, out),
            nn.GELU(),
        ]
        channels = out
    return nn.Sequential(*layers, nn.Conv2d(channels, width, 1))
