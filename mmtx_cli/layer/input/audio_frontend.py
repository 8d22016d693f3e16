"""Inputs of pretrained audio networks, computed as in their training.

Shape letters: b batch, l hops of 10 ms, h samples per hop, n samples, m mel bands, f frames.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.layer.input.mel import real_mean


def unit_variance(
    hops: Float[Tensor, "b l h"], mask: Bool[Tensor, "b l"], eps: float = 1e-7
) -> Float[Tensor, "b l h"]:
    """Normalize each recording to zero mean and unit variance over its real samples.

    The rest is zero. As in wav2vec 2.0 and HuBERT (Baevski et al. 2020, section 4.2).
    """
    x = hops.float()
    x = (x - real_mean(x, mask)).masked_fill(~mask[..., None], 0)
    return (x / (real_mean(x.square(), mask) + eps).sqrt()).to(hops.dtype)


def kaldi_filterbank(
    sound: Float[Tensor, "b l h"], mask: Bool[Tensor, "b l"], num_mels: int, length: int
) -> tuple[Float[Tensor, "b f m"], Int[Tensor, " b"]]:
    """Return Kaldi's log-mel filterbank with ``length`` frames, and the number of real frames.

    As in the Audio Spectrogram Transformer (Gong et al. 2021): 25 ms frames within the recording,
    cut or padded with zeros. A recording shorter than a frame has one real frame.

    Args:
        sound: Waveforms, cut into hops of 10 ms.
        mask: Real hops.
        num_mels: Number of mel bands.
        length: Number of frames to return.
    """
    from torchaudio.compliance.kaldi import fbank

    (b, hops), hop = mask.shape, sound.shape[2]
    window = 5 * hop // 2
    with torch.autocast(sound.device.type, enabled=False):
        # concatenate all recordings; frames that extend into the next one are masked below
        row = F.pad(sound.float().masked_fill(~mask[..., None], 0).flatten(), (0, window))
        x = fbank(
            row[None], sample_frequency=100.0 * hop, window_type="hanning", num_mel_bins=num_mels
        )
    samples = mask.sum(dim=1) * hop
    frames = torch.where(samples > 0, ((samples - window) // hop + 1).clamp(min=1), 0)
    x = x[: b * hops].view(b, hops, num_mels)[:, :length]
    x = x.masked_fill(
        torch.arange(x.shape[1], device=x.device)[:, None] >= frames[:, None, None], 0
    )
    return F.pad(x, (0, 0, 0, length - x.shape[1])), frames


class WhisperLogMel(nn.Module):
    """Whisper's log-mel spectrogram of audio padded with silence to a fixed length.

    Radford et al. 2023, section 2.2: Slaney's mel bands up to 8 kHz, log base 10, clipped at 80 dB
    below the maximum, scaled to about -1 … 1.
    """

    bands: Tensor
    window: Tensor

    def __init__(self, sample_rate: int, num_mels: int, samples: int, size: int, hop: int) -> None:
        """Compute the window and the mel filters.

        Args:
            sample_rate: Samples per second.
            num_mels: Number of mel bands.
            samples: Fixed length of the audio, in samples.
            size: FFT size.
            hop: Hop length, in samples.
        """
        super().__init__()
        from torchaudio.functional import melscale_fbanks

        self.samples, self.size, self.hop = samples, size, hop
        bands = melscale_fbanks(
            size // 2 + 1, 0.0, 8000.0, num_mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("window", torch.hann_window(size), persistent=False)

    def forward(self, sound: Float[Tensor, "b n"]) -> Float[Tensor, "b m f"]:
        """Return the spectrogram of audio that is no longer than ``samples``, zero where masked."""
        with torch.autocast(sound.device.type, enabled=False):
            sound = F.pad(sound.float(), (0, self.samples - sound.shape[1]))
            spectrum = torch.stft(
                sound, self.size, self.hop, window=self.window.float(), return_complex=True
            )
            power = spectrum[..., :-1].abs().square()
            x = (self.bands.float().T @ power).clamp(min=1e-10).log10()
            x = torch.maximum(x, x.amax(dim=(1, 2), keepdim=True) - 8.0)
            return (x + 4.0) / 4.0


class WaveConvolutions(nn.Module):
    """The convolutions of wav2vec 2.0 and its derivatives, for recordings of different lengths.

    If the first layer is normalized over time, padding would change the output, so its statistics
    are computed over each recording's own frames.
    """

    layers: tuple[Any, ...]
    """A tuple, because the layers are registered in the module that they come from."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.shortest: int = 1
        for layer in reversed(self.layers):
            conv = layer.conv
            self.shortest = (self.shortest - 1) * conv.stride[0] + conv.kernel_size[0]

    def forward(
        self, sound: Float[Tensor, "b n"], samples: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b c f"], Int[Tensor, " b"]]:
        """Return the frames and the number of real ones, at least one where there is audio."""
        length = samples.clamp(min=self.shortest)
        x = F.pad(sound, (0, max(0, self.shortest - sound.shape[1])))[:, None]
        for layer in self.layers:
            length = (length - layer.conv.kernel_size[0]) // layer.conv.stride[0] + 1
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                x = layer.conv(x)
                real = torch.arange(x.shape[2], device=x.device) < length[:, None]
                x = layer.activation(over_time(norm, x, real))
            else:
                x = layer(x)
        return x, torch.where(samples > 0, length, 0)


def over_time(
    norm: nn.GroupNorm, x: Float[Tensor, "b c l"], mask: Bool[Tensor, "b l"]
) -> Float[Tensor, "b c l"]:
    """Apply a group norm with one channel per group to the real frames only."""
    real, x = mask[:, None], x.float()
    count = real.sum(dim=2, keepdim=True).clamp(min=1)
    x = x - x.masked_fill(~real, 0).sum(dim=2, keepdim=True) / count
    variance = x.square().masked_fill(~real, 0).sum(dim=2, keepdim=True) / count
    x = x / (variance + norm.eps).sqrt()
    return (x * norm.weight[:, None] + norm.bias[:, None]).to(norm.weight.dtype)
