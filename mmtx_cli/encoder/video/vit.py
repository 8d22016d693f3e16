"""A space-time vision Transformer trained from scratch."""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.change import Change
from mmtx_cli.layer.input.pixel_norm import IMAGENET_MEAN, IMAGENET_STD, Pixels
from mmtx_cli.layer.input.stem import ConvStem, PatchStem, check_stem, check_tiled
from mmtx_cli.layer.position import GridPosition, SequencePosition
from mmtx_cli.layer.sequence_mask import downsample_mask
from mmtx_cli.layer.transformer import FeedForward, Transformer
from mmtx_cli.types import ModalityInput, Patches, Patchifier, Tokens


class ViTVideoEncoder(Encoder):
    """Tubelets, learned positions in space and time, and attention over both.

    With ``attention="joint"`` every token attends to every other (ViViT model 1, Arnab et al.
    2021); with "divided" to those at the same position over time, then to those of the same time
    step (TimeSformer, Bertasius et al. 2021), which costs much less for long videos. There is no
    class token. The difference between a tubelet and the previous one at the same position is added
    to it (``Change``).

    With ``stem="conv"`` each frame passes stride-2 convolutions, and ``tubelet_size`` frames are
    joined into a tubelet: locations within a patch, and so motion, are visible from the start (Xiao
    et al. 2021). With "patch" each tubelet is embedded separately, its frames as channels, which
    masked pretraining needs.
    """

    def __init__(
        self,
        image_size: int = 224,
        num_frames: int = 8,
        patch_size: int = 16,
        tubelet_size: int = 2,
        attention: str = "divided",
        width: int = 384,
        depth: int = 6,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        stem: str = "conv",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """A tubelet is a patch over ``tubelet_size`` frames.

        ``image_size`` and ``num_frames`` size the positions, which are interpolated for other image
        sizes and more frames.
        """
        super().__init__()
        if attention not in STACKS:
            raise ValueError(f"attention={attention!r} is not one of {', '.join(STACKS)}")
        check_stem(stem)
        check_tiled(image_size, patch_size)
        if tubelet_size < 1:
            raise ValueError(f"tubelet_size={tubelet_size}: must be at least 1 frame")
        self.width, self.patch_size = width, patch_size
        self.attention = attention
        self.tubelet_size = tubelet_size
        self.pixels = Pixels(mean, std)
        self.stem = (
            PatchStem(width, patch_size, channels=3 * tubelet_size)
            if stem == "patch"
            else TubeletStem(width, patch_size, tubelet_size)
        )
        self.change = Change(width, amount=stem == "patch")
        self.space = GridPosition(width, image_size // patch_size)
        self.time = SequencePosition(width, -(-num_frames // tubelet_size))
        self.dropout = nn.Dropout(dropout)
        self.transformer = STACKS[attention](width, depth, num_heads, mlp_ratio, dropout)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, t, 3, height, width].

        Tubelets are ordered by time step, then row by row. A tubelet is real if any of its frames
        is.
        """
        mask = downsample_mask(field.mask, self.tubelet_size)
        x = self.embedded(field)  # b, time steps, y, x, d
        positions = self.positions(mask, *x.shape[2:4])
        x = x.flatten(2, 3)
        x = x + self.change(x, visible_tubelets(field, mask, x.shape[2])) + positions
        if field.visible and self.attention == "joint":
            x = field.visible.of(x.flatten(1, 2))[:, :, None]
            x = self.transformer(self.dropout(x), field.visible.mask)
            return Tokens(x.flatten(1, 2), field.visible.mask)
        if field.visible:  # the same positions at every time step
            x = field.visible.of(x.flatten(1, 2)).unflatten(1, (mask.shape[1], -1))
        x = self.transformer(self.dropout(x), mask)
        return Tokens(x.flatten(1, 2), mask.repeat_interleave(x.shape[2], dim=1))

    def embedded(self, field: ModalityInput) -> Float[Tensor, "b n h w d"]:
        """Return the embeddings of the tubelets, before positions are added."""
        if isinstance(self.stem, PatchStem):
            return self.stem(self.tubelets(field).flatten(4, 5))  # type: ignore[no-any-return]
        return self.stem(self.frames(field).transpose(1, 2), field.mask)  # type: ignore[no-any-return]

    def positions(
        self, mask: Bool[Tensor, "b t"], rows: int, columns: int
    ) -> Float[Tensor, "b t n d"]:
        """Return the position of each patch at each time step."""
        return self.time(mask)[:, :, None] + self.space(rows, columns)

    def patching(self) -> Patchifier | None:
        """Return the tubelets; None with a convolutional stem, whose patches overlap.

        Divided attention supports only "tube" masking: it needs a patch at all time steps.
        """
        if not isinstance(self.stem, PatchStem):
            return None
        maskings = ("tube", "random") if self.attention == "joint" else ("tube",)
        values_per_patch = 3 * self.tubelet_size * self.patch_size**2
        return Patchifier(values_per_patch, self.width, maskings, self.patches)

    def patches(self, field: ModalityInput) -> Patches:
        """Return normalized pixels of the tubelets, in the order channel, frame, row, column."""
        x = self.tubelets(field)
        mask = downsample_mask(field.mask, self.tubelet_size)
        per_step = x.shape[2] * x.shape[3]
        position = self.positions(mask, *x.shape[2:4]).flatten(1, 2)
        x = x.flatten(4).flatten(1, 3)
        return Patches(x, mask.repeat_interleave(per_step, dim=1), position, per_step)

    def tubelets(self, field: ModalityInput) -> Float[Tensor, "b n h w 3 t p p"]:
        """Return the normalized pixels of each tubelet."""
        x = self.frames(field)
        size = self.tubelet_size, self.patch_size, self.patch_size
        for axis, length in enumerate(size, start=2):
            x = x.unfold(axis, length, length)  # b, 3, time steps, rows, columns, *size
        return x.movedim(1, 4)

    def frames(self, field: ModalityInput) -> Float[Tensor, "b 3 t h w"]:
        """Return normalized pixels, zero for missing frames, padded to whole tubelets."""
        absent = ~field.mask[:, :, None, None, None]
        x = self.pixels(field.data).masked_fill(absent, 0).transpose(1, 2)
        return F.pad(x, (0, 0, 0, 0, 0, -x.shape[2] % self.tubelet_size))

    def blocks(self) -> list[nn.Module]:
        """Return the stem with changes and positions, then the blocks."""
        stem = nn.ModuleList([self.stem, self.change, self.space, self.time])
        return [stem, *self.transformer.blocks]


def visible_tubelets(
    field: ModalityInput, mask: Bool[Tensor, "b t"], per_step: int
) -> Bool[Tensor, "b t n"]:
    """Return which tubelets are real and visible, for changes that do not leak hidden content."""
    mask = mask[..., None].expand(-1, -1, per_step)
    if field.visible is None:
        return mask
    num_tubelets = mask.shape[1] * per_step  # an extra column for unused indices, dropped below
    index = field.visible.index.where(field.visible.mask, num_tubelets)
    shown = mask.new_zeros(mask.shape[0], num_tubelets + 1).scatter(1, index, True)
    return mask & shown[:, :num_tubelets].view_as(mask)


class TubeletStem(nn.Module):
    """A convolutional stem for each frame, then a joint projection of the frames of a tubelet."""

    def __init__(self, dim: int, patch_size: int, tubelet_size: int) -> None:
        super().__init__()
        self.frame = ConvStem(dim, patch_size)
        self.join = nn.Linear(dim * tubelet_size, dim)
        self.tubelet_size = tubelet_size

    def forward(
        self, frames: Float[Tensor, "b t 3 h w"], mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b n y x d"]:
        """Embed whole tubelets; the first l of ``frames`` are the sample's own, others padding."""
        x = self.frame(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        real = F.pad(mask, (0, frames.shape[1] - mask.shape[1]))
        x = x.masked_fill(~real[:, :, None, None, None], 0)  # removes the stem's biases
        x = x.unflatten(1, (-1, self.tubelet_size))  # b, time steps, t, y, x, d
        return self.join(x.movedim(2, 4).flatten(4))  # type: ignore[no-any-return]


class JointTransformer(Transformer):
    """A Transformer in which every token attends to those of all real time steps."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "b t n d"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t n d"]:
        """Apply the blocks to all tokens as one sequence."""
        mask = mask.repeat_interleave(x.shape[2], dim=1)
        return super().forward(x.flatten(1, 2), mask).view_as(x)


class DividedTransformer(nn.Module):
    """Blocks of temporal and spatial attention, and a final norm."""

    def __init__(
        self, dim: int, depth: int, num_heads: int, mlp_ratio: float, dropout: float
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            DividedBlock(dim, num_heads, mlp_ratio, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Float[Tensor, "b t n d"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t n d"]:
        """Apply the blocks in order."""
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


class DividedBlock(nn.Module):
    """Temporal attention, spatial attention, feed-forward (Bertasius et al. 2021, fig. 2)."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.time_norm = nn.LayerNorm(dim)
        self.time = Attention(dim, num_heads, dropout)
        self.space_norm = nn.LayerNorm(dim)
        self.space = Attention(dim, num_heads, dropout)
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_ratio, dropout)

    def forward(
        self, x: Float[Tensor, "b t n d"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t n d"]:
        """Apply the block; time steps where ``mask`` is False are not attended to."""
        b, t, n, _ = x.shape
        temporal = self.time_norm(x).transpose(1, 2).flatten(0, 1)
        temporal = self.time(temporal, mask=mask.repeat_interleave(n, dim=0))
        x = x + temporal.unflatten(0, (b, n)).transpose(1, 2)
        spatial = self.space(self.space_norm(x).flatten(0, 1))
        x = x + spatial.unflatten(0, (b, t))
        return x + self.feed_forward(self.norm(x))


STACKS: dict[str, type[JointTransformer] | type[DividedTransformer]] = {
    "divided": DividedTransformer,
    "joint": JointTransformer,
}
