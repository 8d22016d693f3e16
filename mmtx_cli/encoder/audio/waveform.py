"""Strided convolutions over the raw waveform and a Transformer, trained from scratch."""

import math
from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.layer.input.audio_frontend import unit_variance
from mmtx_cli.layer.input.mel import waveform
from mmtx_cli.layer.position import SequencePosition
from mmtx_cli.layer.sequence_mask import downsample_mask
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Tokens


class WaveformAudioEncoder(Encoder):
    """A small variant of wav2vec 2.0's encoder (Baevski et al. 2020, section 2).

    With the default strides, a token covers 640 samples: 40 ms at 16 kHz.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        audio_seconds: float = 10.0,
        strides: Sequence[int] = (5, 4, 4, 4, 2),
        width: int = 256,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        """``strides`` are those of the convolutions, whose channels double up to ``width``.

        Positions are learned for ``audio_seconds`` of audio and interpolated for longer recordings.
        """
        super().__init__()
        if not strides or min(strides) < 2:
            raise ValueError(f"strides={strides}: must be a non-empty list, each at least 2")
        self.width, self.sample_rate = width, sample_rate
        sizes = [max(width >> step, 8) for step in reversed(range(len(strides)))]
        inputs = [1, *sizes[:-1]]
        self.layers = nn.ModuleList(
            Downsample(*args) for args in zip(inputs, [*sizes[:-1], width], strides, strict=True)
        )
        num_positions = math.ceil(audio_seconds * sample_rate / math.prod(strides))
        self.position = SequencePosition(width, num_positions)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, h]: l hops of 10 ms."""
        mask = field.mask.repeat_interleave(field.data.shape[2], dim=1)
        x = unit_variance(waveform(field, self.sample_rate)[..., None], mask)
        for layer in self.layers:
            x, mask = layer(x, mask)
        x = x + self.position(mask)
        return Tokens(self.transformer(self.dropout(x), mask), mask)

    def blocks(self) -> list[nn.Module]:
        """Return the convolutions, then the blocks."""
        return [*self.layers, *self.transformer.blocks]


class Downsample(nn.Module):
    """Convolution with a kernel of two strides, norm over the channels of each position, GELU."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv1d(channels, out, 2 * stride, stride=stride)
        self.norm = nn.LayerNorm(out)
        self.act = nn.GELU()

    def forward(
        self, x: Float[Tensor, "b l c"], mask: Bool[Tensor, "b l"]
    ) -> tuple[Float[Tensor, "b n o"], Bool[Tensor, "b n"]]:
        """Return the downsampled sequence and its mask.

        Output i covers ``stride`` inputs and sees half a stride more on either side.
        """
        left = self.stride // 2
        padding = -x.shape[1] % self.stride
        x = F.pad(x.mT, (left, padding + self.stride - left))
        x = self.act(self.norm(self.convolution(x).mT))
        mask = downsample_mask(mask, self.stride)
        return x.masked_fill(~mask[..., None], 0), mask
