"""CNN over the log-mel spectrogram and a Transformer over time, trained from scratch."""

import math
from collections.abc import Sequence

from torch import nn

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.layer.input.mel import HOPS_PER_SECOND, LogMel, SpecAugment
from mmtx_cli.layer.input.spectrogram import SpectrogramStage
from mmtx_cli.layer.position import SequencePosition
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Tokens


class SpectrogramCnnAudioEncoder(Encoder):
    """CNN over the log-mel spectrogram, then a Transformer over time.

    Each stage halves time and frequency: one token per 2 ** stages hops (160 ms with four stages).
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        audio_seconds: float = 10.0,
        num_mels: int = 64,
        channels: Sequence[int] = (32, 64, 128, 256),
        width: int = 256,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        normalize: str | None = "recording",
        mean: float | None = None,
        std: float | None = None,
        time_masks: int = 0,
        freq_masks: int = 0,
    ) -> None:
        """``channels`` are the channels of each stage.

        Positions are learned for ``audio_seconds`` of audio and interpolated for longer recordings.
        ``normalize``, ``mean`` and ``std`` are as in ``LogMel``; ``time_masks`` and ``freq_masks``
        are the numbers of SpecAugment masks in training.
        """
        super().__init__()
        factor = 1 << len(channels)
        if not channels or num_mels % factor:
            raise ValueError(
                f"num_mels={num_mels} cannot be halved {len(channels)} times (channels={channels})"
            )
        self.width = width
        self.mel = LogMel(sample_rate, num_mels, normalize=normalize, mean=mean, std=std)
        self.augment = SpecAugment(time_masks, freq_masks=freq_masks)
        stages = [SpectrogramStage(*pair) for pair in zip((1, *channels), channels, strict=False)]
        self.stages = nn.ModuleList(stages)
        self.project = nn.Linear(channels[-1] * num_mels // factor, width)
        self.norm = nn.LayerNorm(width)  # matches the scale of the positions
        num_positions = math.ceil(audio_seconds * HOPS_PER_SECOND / factor)
        self.position = SequencePosition(width, num_positions)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, h]: l hops of 10 ms."""
        mask = field.mask
        x = self.augment(self.mel(field), mask)[:, None]
        for stage in self.stages:
            x, mask = stage(x, mask)
        x = self.norm(self.project(x.transpose(1, 2).flatten(2))) + self.position(mask)
        return Tokens(self.transformer(self.dropout(x), mask), mask)

    def blocks(self) -> list[nn.Module]:
        """Return the convolutional stages, then the blocks."""
        return [*self.stages, *self.transformer.blocks]
