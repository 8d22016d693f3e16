"""An audio encoder of the transformers library."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.encoder.backbone.base import PretrainedEncoder
from mmtx_cli.encoder.backbone.hf_hub import preprocessor
from mmtx_cli.encoder.backbone.hf_model import HubModel, hub_model
from mmtx_cli.encoder.base import real_content
from mmtx_cli.layer.input.audio_frontend import (
    WaveConvolutions,
    WhisperLogMel,
    kaldi_filterbank,
    unit_variance,
)
from mmtx_cli.layer.sequence_mask import coarser
from mmtx_cli.types import Field, Tokens

Heard = tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]


class HuggingFaceAudio(PretrainedEncoder):
    """wav2vec 2.0, HuBERT, WavLM, UniSpeech; the Audio Spectrogram Transformer; Whisper's encoder.

    The first kind gives a token every 20 ms and reads each recording at its own length. The
    other two read a fixed length, as they were trained: shorter sound is filled with silence.
    Needs the packages of ``pip install mmtx[hf]``.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        audio_seconds: float = 10.0,
        weights: str | None = None,
        architecture: str = "wav2vec2",
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        config: dict[str, Any] | None = None,
        features: dict[str, Any] | None = None,
        freeze: bool | int = False,
        lora: int = 0,
    ) -> None:
        """``weights`` is a name on huggingface.co, a local folder, or null.

        Where it is null, a new ``architecture`` (its ``model_type`` in the library) of the given
        sizes is made. ``audio_seconds`` is the longest sound. ``config`` sets further values of
        the model's configuration, ``features`` of its feature extractor (by default those that
        come with the weights). ``freeze`` keeps the body (true) or its convolutions or embeddings
        and first n blocks as they are; ``lora`` is the rank of adapters of its attentions.
        """
        super().__init__()
        sizes = {"width": width, "depth": depth, "num_heads": num_heads}
        self.hub = hub_model(weights, architecture, "audio", sizes, config)
        self.body = self.hub.body
        self.features = {**feature_values(weights), **(features or {})}
        rate = self.features.get("sampling_rate", 16000)
        if rate != sample_rate:
            raise ValueError(
                f"sample_rate={sample_rate}: the model hears {rate}; set it at the root"
            )
        self.hear = ear(self.hub, self.features, audio_seconds)
        trial = Field(torch.zeros(1, 3, sample_rate // 100), torch.ones(1, 3, dtype=torch.bool))
        fault = "the model cannot hear 30 ms of silence"
        used = self.settle(freeze, lora, lambda: self(trial).x, fault, self.hub.blocks())
        self.hub.check(self.width, used)

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, l, h]: l hops of 10 ms of a mono waveform."""
        return Tokens(*self.hear(self.body, real_content(field), field.mask))

    def portable(self) -> dict[str, Any]:
        """The same shape with random weights."""
        return {**self.hub.portable(), "features": self.features}


KEPT = (
    "sampling_rate", "do_normalize", "num_mel_bins", "max_length", "mean", "std",
    "feature_size", "chunk_length", "n_fft", "hop_length",
)  # fmt: skip
"""The values of a feature extractor that say what the model reads."""


def feature_values(weights: str | None) -> dict[str, Any]:
    """What the feature extractor of pretrained weights says; nothing for a new model."""
    if weights is None:
        return {}
    extractor = preprocessor(weights, "FeatureExtractor")
    return {name: getattr(extractor, name) for name in KEPT if hasattr(extractor, name)}


def ear(hub: HubModel, features: dict[str, Any], seconds: float) -> Any:
    """What turns sound into what the model reads, and reads it."""
    kind = hub.config.model_type
    if kind in WAVE_MODELS:
        return WaveEar(hub.body.feature_extractor.conv_layers, features)
    if kind not in EARS:
        there = ", ".join([*WAVE_MODELS, *EARS])
        raise ValueError(f"{kind}: what this model hears is not known here; there are: {there}")
    made = EARS[kind](hub.config, features)
    if seconds > made.seconds:
        raise ValueError(
            f"audio_seconds={seconds}: the model hears {made.seconds:g} s at most; set "
            f"audio_seconds={made.seconds:g} at the root"
        )
    return made


class WaveEar(nn.Module):
    """For models that read the waveform itself: a token every 20 ms."""

    def __init__(self, layers: Iterable[nn.Module], features: dict[str, Any]) -> None:
        super().__init__()
        self.convolutions = WaveConvolutions(layers)
        self.normalise = features.get("do_normalize", True)

    def forward(self, body: Any, hops: Float[Tensor, "b l h"], mask: Bool[Tensor, "b l"]) -> Heard:
        """Convolutions at each recording's own length, then the Transformer over real frames."""
        sound = unit_variance(hops, mask) if self.normalise else hops
        x, frames = self.convolutions(sound.flatten(1), mask.sum(dim=1) * hops.shape[2])
        x = body.feature_projection(x.mT)
        x = x[0] if isinstance(x, tuple) else x
        real = torch.arange(x.shape[1], device=x.device) < frames[:, None]
        # a recording of nothing at all is opened, so that its softmax stays finite
        seen = real | (frames == 0)[:, None]
        return body.encoder(x, attention_mask=seen).last_hidden_state, real


class SpectrogramEar(nn.Module):
    """For the Audio Spectrogram Transformer: two tokens for all, then patches, band by band."""

    def __init__(self, config: Any, features: dict[str, Any]) -> None:
        super().__init__()
        self.mels, self.length = config.num_mel_bins, config.max_length
        self.stride = config.time_stride
        self.columns = (self.length - config.patch_size) // self.stride + 1
        self.rows = (self.mels - config.patch_size) // config.frequency_stride + 1
        normalise = features.get("do_normalize", True)
        # of AudioSet, as in the library
        self.mean = features.get("mean", -4.2677393) if normalise else 0.0
        self.std = features.get("std", 4.5689974) if normalise else 0.5
        self.seconds = self.length / 100

    def forward(self, body: Any, hops: Float[Tensor, "b l h"], mask: Bool[Tensor, "b l"]) -> Heard:
        """A patch is real if it begins within the sound."""
        x, frames = kaldi_filterbank(hops, mask, self.mels, self.length)
        x = body(input_values=(x - self.mean) / (2 * self.std)).last_hidden_state
        begins = torch.arange(self.columns, device=mask.device) * self.stride
        patches = (begins < frames[:, None]).repeat(1, self.rows)
        return x, torch.cat([(frames > 0)[:, None].expand(-1, 2), patches], dim=1)


class WhisperEar(nn.Module):
    """For Whisper's encoder: a token every 20 ms, of which those beyond all sound are left out."""

    def __init__(self, config: Any, features: dict[str, Any]) -> None:
        super().__init__()
        hop, rate = features.get("hop_length", 160), features.get("sampling_rate", 16000)
        samples = 2 * config.max_source_positions * hop
        size = features.get("n_fft", 400)
        self.spectrogram = WhisperLogMel(rate, config.num_mel_bins, samples, size, hop)
        self.seconds = samples / rate

    def forward(self, body: Any, hops: Float[Tensor, "b l h"], mask: Bool[Tensor, "b l"]) -> Heard:
        """A token is real if any of its two hops is."""
        x = body(self.spectrogram(hops.flatten(1))).last_hidden_state
        real = coarser(mask, 2)
        return x[:, : real.shape[1]], real


# not data2vec-audio and the conformer: their convolutions between layers hear the padding
WAVE_MODELS = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")
EARS: dict[str, Any] = {"audio-spectrogram-transformer": SpectrogramEar, "whisper": WhisperEar}
