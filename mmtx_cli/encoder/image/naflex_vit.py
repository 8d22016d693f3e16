"""A vision Transformer for pictures of any aspect ratio and size."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mmtx_cli.encoder.base import Encoder, real_content
from mmtx_cli.layer.input.pixel_norm import IMAGENET_MEAN, IMAGENET_STD, Pixels
from mmtx_cli.layer.input.stem import PatchStem
from mmtx_cli.layer.position import sinusoids
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.media.naflex import HEADER, LARGEST
from mmtx_cli.types import ModalityInput, Tokens

SCALES = math.log2(LARGEST)
"""Binary logarithm of the largest number of rows or columns."""


class NaFlexViTImageEncoder(Encoder):
    """A ViT over the patches of ``data.resize_mode=naflex``: as many as each picture has.

    A patch's position is the sum of an embedding of its row and one of its column (factorized, as
    in NaViT, Dehghani et al. 2023), which are read at the relative height and width of the patch in
    its picture (as SigLIP 2 resizes its grid, Tschannen et al. 2025). Embeddings of the numbers of
    rows and columns are added, since relative places alone do not tell the aspect ratio. Patches of
    a sample attend to each other; those of further pictures are marked by the picture's index.
    """

    reads_patches: ClassVar[bool] = True
    """The input is the patches of ``resize_mode=naflex``."""

    def __init__(
        self,
        patch_size: int = 16,
        grid_size: int = 16,
        width: int = 384,
        depth: int = 6,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """``grid_size`` is the number of learned rows and of learned columns.

        Those of a picture with another number of rows or columns are interpolated (linearly).
        """
        super().__init__()
        self.width, self.patch_size = width, patch_size
        self.pixels = Pixels(mean, std)
        self.stem = PatchStem(width, patch_size)
        self.position = FactorizedPosition(width, grid_size)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout, drop_path)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, n, v]: n patches with their places (``media/naflex.py``).

        Raises:
            ValueError: if the data are not patches of ``patch_size``.
        """
        values = HEADER + 3 * self.patch_size**2
        if field.data.dim() != 3 or field.data.shape[2] != values:
            raise ValueError(
                f"naflex_vit with patch_size={self.patch_size} reads patches of {values} numbers, "
                f"not data of shape {tuple(field.data.shape)}; set data.resize_mode=naflex"
            )
        data = real_content(field)
        places, pixels = data[..., :HEADER].long(), data[..., HEADER:]
        pixels = pixels.unflatten(2, (3, self.patch_size, self.patch_size))
        x = self.stem(self.pixels(pixels)) + self.position(places)
        return Tokens(self.transformer(self.dropout(x), field.mask), field.mask)

    def blocks(self) -> list[nn.Module]:
        """Return the stem with its positions, then the blocks."""
        return [nn.ModuleList([self.stem, self.position]), *self.transformer.blocks]


class FactorizedPosition(nn.Module):
    """Learned positions of rows and of columns, interpolated to the grid of each picture.

    They are initialized with sines and cosines of row and column, as ``GridPosition`` is, and the
    embeddings of the numbers of rows and columns with zeros.
    """

    picture: Tensor

    def __init__(self, dim: int, size: int) -> None:
        """``size`` is the number of learned rows and of learned columns."""
        super().__init__()
        if size < 2:
            raise ValueError(f"grid_size={size}: at least 2 rows and columns are learned")
        half = dim // 2
        self.rows = nn.Parameter(nn.functional.pad(sinusoids(size, half), (0, dim - half)))
        self.columns = nn.Parameter(nn.functional.pad(sinusoids(size, dim - half), (half, 0)))
        self.heights = nn.Parameter(torch.zeros(size, dim))
        self.widths = nn.Parameter(torch.zeros(size, dim))
        # fixed: samples with several pictures may be rare
        index = sinusoids(LARGEST, dim)
        self.register_buffer("picture", index - index[:1], persistent=False)

    def forward(self, places: Int[Tensor, "b n 5"]) -> Float[Tensor, "b n d"]:
        """Return the positions of patches, from row, column, last row, last column and picture."""
        row, column, last_row, last_column, picture = places.unbind(dim=2)
        height, width = ((last + 1).log2() / SCALES for last in (last_row, last_column))
        return (
            interpolated(self.rows, (row + 0.5) / (last_row + 1))
            + interpolated(self.columns, (column + 0.5) / (last_column + 1))
            + interpolated(self.heights, height)
            + interpolated(self.widths, width)
            + self.picture[picture]
        )


def interpolated(
    table: Float[Tensor, "s d"], place: Float[Tensor, "b n"]
) -> Float[Tensor, "b n d"]:
    """Read a table of s vectors at ``place``, from 0 to 1, between its vectors where needed.

    The table covers the range evenly: the middle of the i-th of s patches is its i-th vector.
    """
    size = len(table)
    at = (place * size - 0.5).clamp(0, size - 1)
    low = at.long()
    weight = (at - low)[..., None].to(table.dtype)
    return torch.lerp(table[low], table[(low + 1).clamp(max=size - 1)], weight)
