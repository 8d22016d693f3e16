"""A vision Transformer trained from scratch."""

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mmtx_cli.encoder.base import Encoder, real_content
from mmtx_cli.layer.input.pixel_norm import IMAGENET_MEAN, IMAGENET_STD, Pixels
from mmtx_cli.layer.input.stem import ConvStem, PatchStem, check_stem, check_tiled
from mmtx_cli.layer.position import GridPosition
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Patches, Patchifier, Tokens


class ViTImageEncoder(Encoder):
    """Patches, learned grid positions and pre-norm blocks (Dosovitskiy et al. 2021).

    There is no class token: heads pool the tokens. With ``stem="conv"`` patches are embedded by
    stride-2 convolutions, which learn faster from little data (Xiao et al. 2021); with "patch" each
    patch is embedded separately, which masked pretraining needs.
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
        drop_path: float = 0.0,
        stem: str = "conv",
        recolor: bool = False,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """``image_size`` sizes the position grid, which is interpolated for other image sizes.

        ``recolor`` augments the input of the stem's convolutions in training: the color channels of
        each image are shuffled and every second image is inverted, on average. The mean colors that
        the stem reads separately are unchanged. Shapes are then recognized in colors that never
        occurred in training.
        """
        super().__init__()
        check_stem(stem)
        check_tiled(image_size, patch_size)
        if recolor and stem != "conv":
            raise ValueError(
                f"recolor=true requires stem=conv: stem={stem} embeds patches with their colors"
            )
        self.width, self.patch_size = width, patch_size
        self.pixels = Pixels(mean, std)
        self.stem: nn.Module = (
            PatchStem(width, patch_size)
            if stem == "patch"
            else ConvStem(width, patch_size, recolor)
        )
        self.position = GridPosition(width, image_size // patch_size)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout, drop_path)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, 3, height, width]: l images per sample.

        Patches are ordered row by row, image by image, and attend to those of the same image. If
        ``field.visible`` selects patches, it selects equally many in each image.
        """
        tokens = self.embedded(field)
        x = tokens.x.unflatten(1, (field.mask.shape[1], -1)).flatten(0, 1)
        x = self.transformer(self.dropout(x))
        return Tokens(x.reshape(*tokens.mask.shape, self.width), tokens.mask)

    def embedded(self, field: ModalityInput) -> Tokens:
        """Return the input of the blocks, computed only for the ``shown`` patches."""
        b, pictures = field.mask.shape
        squares = isinstance(self.stem, PatchStem)
        x, rows, columns = self.squares(field) if squares else self.convolved(field)
        position = self.position(rows, columns).repeat(pictures, 1).expand(b, -1, -1)
        mask = field.mask.repeat_interleave(rows * columns, dim=1)
        if field.visible:
            x, position, mask = field.visible.of(x), field.visible.of(position), field.visible.mask
        if squares:
            x = self.stem(self.pixels(x))
        return Tokens(x + position, mask)

    def squares(self, field: ModalityInput) -> tuple[Shaped[Tensor, "b n 3 p p"], int, int]:
        """Return the raw pixels of each patch, and the numbers of rows and columns of patches."""
        size, x = self.patch_size, real_content(field)
        rows, columns = (side // size for side in x.shape[3:])
        x = x[..., : rows * size, : columns * size].unflatten(4, (columns, size))
        x = x.unflatten(3, (rows, size)).permute(0, 1, 3, 5, 2, 4, 6)
        return x.flatten(1, 3), rows, columns

    def convolved(self, field: ModalityInput) -> tuple[Float[Tensor, "b n d"], int, int]:
        """Return the patches embedded by the convolutional stem, and their rows and columns."""
        x = self.stem(self.pixels(real_content(field).flatten(0, 1)))
        rows, columns = x.shape[1:3]
        return x.unflatten(0, field.mask.shape).flatten(1, 3), rows, columns

    def patching(self) -> Patchifier | None:
        """Return the square patches; None with a convolutional stem, whose patches overlap."""
        if not isinstance(self.stem, PatchStem):
            return None
        return Patchifier(3 * self.patch_size**2, self.width, ("moment",), self.patches)

    def patches(self, field: ModalityInput) -> Patches:
        """Return the normalized pixels of the patches, in the order channel, row, column."""
        x, rows, columns = self.squares(field)
        mask = field.mask.repeat_interleave(rows * columns, dim=1)
        position = self.position(rows, columns).repeat(field.mask.shape[1], 1)[None]
        return Patches(self.pixels(x).flatten(2), mask, position, rows * columns)

    def blocks(self) -> list[nn.Module]:
        """Return the stem with its positions, then the blocks."""
        return [nn.ModuleList([self.stem, self.position]), *self.transformer.blocks]
