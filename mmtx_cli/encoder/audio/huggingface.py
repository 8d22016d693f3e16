"""Audio encoders of the transformers library."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.encoder.backbone.base import PretrainedEncoder
from mmtx_cli.encoder.backbone.hf_model import HubModel, hub_model
from mmtx_cli.encoder.base import real_content
from mmtx_cli.hub.huggingface import preprocessor
from mmtx_cli.layer.input.audio_frontend import (
    WaveConvolutions,
    WhisperLogMel,
    kaldi_filterbank,
    unit_variance,
)
from mmtx_cli.layer.sequence_mask import downsample_mask
from mmtx_cli.types import ModalityInput, Tokens

FrontendOutput = tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]


class HuggingFaceAudioEncoder(PretrainedEncoder):
    """wav2vec 2.0, HuBERT, WavLM, UniSpeech; the Audio Spectrogram Transformer; Whisper's encoder.

    Models of the first group produce a token every 20 ms and process each recording at its own
    length. The other two have the fixed input length of their pretraining: shorter audio is padded
    with silence. Requires ``pip install mmtx[hf]``.
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
        """``weights`` is a model on huggingface.co, a local folder, or null.

        If it is null, a new model of ``architecture`` (a ``model_type`` of transformers) with the
        given sizes is built. ``audio_seconds`` is the maximum duration of a recording. ``config``
        sets further values of the model's configuration, ``features`` those of its feature
        extractor (default: those of the weights). ``freeze`` freezes the backbone (true) or its
        convolutions or embeddings and first n blocks. ``lora`` is the rank of LoRA adapters on the
        attention layers (0 for none); it freezes all pretrained weights.
        """
        super().__init__()
        sizes = {"width": width, "depth": depth, "num_heads": num_heads}
        self.hub = hub_model(weights, architecture, "audio", sizes, config)
        self.body = self.hub.body
        self.features = {**extractor_settings(weights), **(features or {})}
        rate = self.features.get("sampling_rate", 16000)
        if rate != sample_rate:
            raise ValueError(
                f"sample_rate={sample_rate}: the model expects {rate}; set it at the root"
            )
        self.frontend = frontend_for(self.hub, self.features, audio_seconds)
        trial = ModalityInput(
            torch.zeros(1, 3, sample_rate // 100), torch.ones(1, 3, dtype=torch.bool)
        )
        fault = "the model failed on a trial input of 30 ms of silence"
        used = self.finalize_backbone(freeze, lora, lambda: self(trial).x, fault, self.hub.blocks())
        self.hub.check(self.width, used)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, h]: l hops of 10 ms of a mono waveform."""
        return Tokens(*self.frontend(self.body, real_content(field), field.mask))

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {**self.hub.rebuild_kwargs(), "features": self.features}


INPUT_SETTINGS = (
    "sampling_rate", "do_normalize", "num_mel_bins", "max_length", "mean", "std",
    "feature_size", "chunk_length", "n_fft", "hop_length",
)  # fmt: skip
"""Settings of a feature extractor that determine the model's input."""


def extractor_settings(weights: str | None) -> dict[str, Any]:
    """Return the feature extractor settings of pretrained weights; empty for a new model."""
    if weights is None:
        return {}
    extractor = preprocessor(weights, "FeatureExtractor")
    return {name: getattr(extractor, name) for name in INPUT_SETTINGS if hasattr(extractor, name)}


def frontend_for(hub: HubModel, features: dict[str, Any], seconds: float) -> Any:
    """Return the front end for a model type: it computes the model's input and runs the model.

    Raises:
        ValueError: If the model type is not supported, or its input is shorter than ``seconds``.
    """
    kind = hub.config.model_type
    if kind in WAVE_MODELS:
        return WaveformFrontend(hub.body.feature_extractor.conv_layers, features)
    if kind not in FRONTENDS:
        supported = ", ".join([*WAVE_MODELS, *FRONTENDS])
        raise ValueError(f"{kind}: unsupported audio model; choose from {supported}")
    frontend = FRONTENDS[kind](hub.config, features)
    if seconds > frontend.seconds:
        raise ValueError(
            f"audio_seconds={seconds}: the model accepts at most {frontend.seconds:g} s; set "
            f"audio_seconds={frontend.seconds:g} at the root"
        )
    return frontend


class WaveformFrontend(nn.Module):
    """Front end for models of the raw waveform: one token every 20 ms."""

    def __init__(self, layers: Iterable[nn.Module], features: dict[str, Any]) -> None:
        super().__init__()
        self.convolutions = WaveConvolutions(layers)
        self.normalize = features.get("do_normalize", True)

    def forward(
        self, body: Any, hops: Float[Tensor, "b l h"], mask: Bool[Tensor, "b l"]
    ) -> FrontendOutput:
        """Apply the convolutions at each recording's own length, then the Transformer."""
        sound = unit_variance(hops, mask) if self.normalize else hops
        x, frames = self.convolutions(sound.flatten(1), mask.sum(dim=1) * hops.shape[2])
        x = body.feature_projection(x.mT)
        x = x[0] if isinstance(x, tuple) else x
        real = torch.arange(x.shape[1], device=x.device) < frames[:, None]
        # unmask rows without any frame, so that their softmax stays finite
        attention_mask = real | (frames == 0)[:, None]
        return body.encoder(x, attention_mask=attention_mask).last_hidden_state, real


class SpectrogramFrontend(nn.Module):
    """Front end for the Audio Spectrogram Transformer.

    Two tokens (class and distillation) come first, then the patches, band by band.
    """

    def __init__(self, config: Any, features: dict[str, Any]) -> None:
        super().__init__()
        self.mels, self.length = config.num_mel_bins, config.max_length
        self.stride = config.time_stride
        self.columns = (self.length - config.patch_size) // self.stride + 1
        self.rows = (self.mels - config.patch_size) // config.frequency_stride + 1
        normalize = features.get("do_normalize", True)
        # statistics of AudioSet, the library's defaults
        self.mean = features.get("mean", -4.2677393) if normalize else 0.0
        self.std = features.get("std", 4.5689974) if normalize else 0.5
        self.seconds = self.length / 100

    def forward(
        self, body: Any, hops: Float[Tensor, "b l h"], mask: Bool[Tensor, "b l"]
    ) -> FrontendOutput:
        """Encode a batch; a patch is real if it begins within the recording."""
        x, frames = kaldi_filterbank(hops, mask, self.mels, self.length)
        x = body(input_values=(x - self.mean) / (2 * self.std)).last_hidden_state
        starts = torch.arange(self.columns, device=mask.device) * self.stride
        patches = (starts < frames[:, None]).repeat(1, self.rows)
        return x, torch.cat([(frames > 0)[:, None].expand(-1, 2), patches], dim=1)


class WhisperFrontend(nn.Module):
    """Front end for Whisper's encoder: one token every 20 ms, cut to the length of the batch."""

    def __init__(self, config: Any, features: dict[str, Any]) -> None:
        super().__init__()
        hop, rate = features.get("hop_length", 160), features.get("sampling_rate", 16000)
        samples = 2 * config.max_source_positions * hop
        size = features.get("n_fft", 400)
        self.spectrogram = WhisperLogMel(rate, config.num_mel_bins, samples, size, hop)
        self.seconds = samples / rate

    def forward(
        self, body: Any, hops: Float[Tensor, "b l h"], mask: Bool[Tensor, "b l"]
    ) -> FrontendOutput:
        """Encode a batch; a token is real if either of its two hops is."""
        x = body(self.spectrogram(hops.flatten(1))).last_hidden_state
        real = downsample_mask(mask, 2)
        return x[:, : real.shape[1]], real


# without data2vec-audio and the conformer: convolutions between their layers mix in padding
WAVE_MODELS = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")
FRONTENDS: dict[str, Any] = {
    "audio-spectrogram-transformer": SpectrogramFrontend,
    "whisper": WhisperFrontend,
}
