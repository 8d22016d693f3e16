"""Speech models of torchaudio's pipelines: wav2vec 2.0, HuBERT, WavLM and their derivatives."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.encoder.backbone.base import PretrainedEncoder
from mmtx_cli.encoder.backbone.torchaudio_body import SpeechBody, speech_body
from mmtx_cli.layer.input.mel import waveform
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.layer.sequence_mask import sequence_lengths
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Tokens


class TorchaudioAudioEncoder(PretrainedEncoder):
    """A backbone on the raw waveform (one frame per 20 ms), a projection and a small Transformer.

    Unlike in torchaudio's own ``forward``, padding never affects the output: normalization
    statistics exclude it.
    """

    body: SpeechBody

    def __init__(
        self,
        sample_rate: int = 16000,
        bundle: str = "WAV2VEC2_BASE",
        weights: bool | str | None = None,
        freeze: bool | int = False,
        lora: int = 0,
        layer_mix: bool = False,
        pool: int = 4,
        width: int = 256,
        depth: int = 1,
        num_heads: int = 4,
        dropout: float = 0.0,
        body_width: int | None = None,
        body_depth: int | None = None,
        body_heads: int | None = None,
        body_channels: int | None = None,
    ) -> None:
        """``bundle`` is a name in torchaudio.pipelines: WAV2VEC2_BASE, HUBERT_BASE, WAVLM_BASE, …

        ``weights`` is true for the bundle's own (downloaded once), a local state-dict file, or null
        for random ones. ``freeze`` freezes the backbone (true), or its convolutions and first n
        blocks. ``lora`` is the rank of LoRA adapters on the attention layers, 0 for none.
        ``layer_mix`` uses a learned weighted mean of all layers' outputs instead of the last
        layer's (Yang et al. 2021). ``pool`` frames are averaged into one token. ``body_depth``
        keeps only the first blocks; ``body_width``, ``body_heads`` and ``body_channels`` size a
        backbone without published weights (null: as in the bundle).
        """
        super().__init__()
        if pool < 1:
            raise ValueError(f"pool={pool}: must be at least 1 frame")
        if lora and bundle.startswith("WAVLM"):
            raise ValueError(f"lora={lora}: WavLM stores query, key and value in one weight; use 0")
        self.sample_rate, self.grain = sample_rate, pool
        self.body = speech_body(
            bundle, sample_rate, weights, body_width, body_depth, body_heads, body_channels
        )
        self.finalize_backbone(freeze, lora, self.body.trial, f"bundle={bundle}")
        feature_width, self.width = self.width, width
        self.channels = feature_width
        self.mix = nn.Parameter(torch.zeros(len(self.body.layers))) if layer_mix else None
        self.project = nn.Sequential(nn.LayerNorm(feature_width), nn.Linear(feature_width, width))
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, dropout=dropout)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, h]: l hops of 10 ms."""
        frames = self.features(field)
        x, mask = pooled(self.project(frames.x), frames.mask, self.grain)
        return Tokens(self.transformer(self.dropout(x), mask), mask)

    def features(self, field: ModalityInput) -> Tokens:
        """Return the backbone's output, one vector per frame."""
        layers, mask = self.body(waveform(field, self.sample_rate), self.samples(field))
        if self.mix is None:
            return Tokens(layers[-1], mask)
        weights = self.mix.softmax(dim=0)
        return Tokens(
            torch.stack([w * x for w, x in zip(weights, layers, strict=True)]).sum(0), mask
        )

    def samples(self, field: ModalityInput) -> Int[Tensor, " b"]:
        """Return the number of samples of each recording; 0 if it is missing."""
        return sequence_lengths(field.mask) * field.data.shape[2]

    def pooled_features(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return the mean of the backbone's features over the real frames."""
        frames = self.features(field)
        return masked_mean(frames.x, frames.mask)

    def pooled_width(self) -> int:
        """Return the width of the backbone's frames."""
        return self.channels

    def blocks(self) -> list[nn.Module]:
        """Return the backbone's convolutions with its positions, then its blocks."""
        return [self.body.stem, *self.body.layers]

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {"weights": None}


def pooled(
    x: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"], grain: int
) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
    """Average the real frames of every ``grain`` consecutive frames."""
    padding = -x.shape[1] % grain
    groups = F.pad(x, (0, 0, 0, padding)).unflatten(1, (-1, grain))
    real = F.pad(mask, (0, padding)).unflatten(1, (-1, grain))
    means = masked_mean(groups.flatten(0, 1), real.flatten(0, 1))
    return means.unflatten(0, groups.shape[:2]), real.any(dim=2)
