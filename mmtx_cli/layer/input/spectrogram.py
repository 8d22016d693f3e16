"""Strided convolutions over spectrograms of different lengths."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.layer.input.stem import ChannelNorm, stage_sizes
from mmtx_cli.layer.sequence_mask import downsample_mask


class SpectrogramStage(nn.Module):
    """Downsample by 2, then a residual convolution; masked cells stay zero throughout.

    The norm is over the channels of one cell (as in ConvNeXt, Liu et al. 2022), so that it is
    independent of padding and the rest of the batch.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(channels, out, 3, stride=2, padding=1)
        self.norm1 = ChannelNorm(out)
        self.keep = nn.Conv2d(out, out, 3, padding=1)
        self.norm2 = ChannelNorm(out)
        self.act = nn.GELU()

    def forward(
        self, x: Float[Tensor, "b c l m"], mask: Bool[Tensor, "b l"]
    ) -> tuple[Float[Tensor, "b o n k"], Bool[Tensor, "b n"]]:
        """Return the map and its mask; output frame i covers the frames 2 i and 2 i + 1."""
        mask = downsample_mask(mask, 2)
        absent = ~mask[:, None, :, None]
        x = self.act(self.norm1(self.halve(x))).masked_fill(absent, 0)
        y = self.act(self.norm2(self.keep(x)))
        return (x + y).masked_fill(absent, 0), mask


class SpectrogramStem(nn.Module):
    """Convolutional stages down to one cell per patch (Xiao et al. 2021, section 3).

    Raises:
        ValueError: If ``patch_size`` is not a power of two.
    """

    def __init__(self, dim: int, patch_size: int) -> None:
        super().__init__()
        sizes = stage_sizes(dim, patch_size)
        self.stages = nn.ModuleList(
            SpectrogramStage(*pair) for pair in zip([1, *sizes], sizes, strict=False)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Float[Tensor, "b l m"], mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b n k d"]:
        """Return one vector per patch; ``x`` must be zero where ``mask`` is False."""
        x = x[:, None]
        for stage in self.stages:
            x, mask = stage(x, mask)
        return self.norm(x.movedim(1, -1))  # type: ignore[no-any-return]
