"""Log-mel spectrogram of audio, and SpecAugment.

Shape letters: b batch, l hops of 10 ms, h samples per hop, m mel bands.
"""

import warnings
from bisect import bisect_left

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.config.preprocessing import HOPS_PER_SECOND
from mmtx_cli.types import ModalityInput

WINDOW_SECONDS = 0.025
FLOOR = 1e-8
"""Minimum power of a band: about that of the rounding noise of silent 16-bit audio."""


def waveform(field: ModalityInput, sample_rate: int) -> Float[Tensor, "b n"]:
    """Concatenate the hops [b, l, h] to a waveform, silent where the mask is False."""
    hop = sample_rate // HOPS_PER_SECOND
    if field.data.shape[2:] != (hop,):
        raise ValueError(
            f"the audio has hops of {tuple(field.data.shape[2:])} samples, but "
            f"sample_rate={sample_rate} has hops of {hop} (10 ms): "
            "set sample_rate=… at the root, not at the encoder"
        )
    return field.data.masked_fill(~field.mask[..., None], 0).flatten(1)


class LogMel(nn.Module):
    """Logarithm of the power in mel bands, one 25 ms frame per hop (Davis, Mermelstein 1980).

    Frame i is centered at the start of hop i; audio beyond the end of a recording counts as
    silence, so that padding never affects the output. Always in single precision, because half
    precision lacks the range for a power spectrum.
    """

    window: Tensor
    bands: Tensor

    def __init__(
        self,
        sample_rate: int = 16000,
        num_mels: int = 64,
        f_min: float = 20.0,
        f_max: float | None = None,
        normalize: str | None = "recording",
        mean: float | None = None,
        std: float | None = None,
    ) -> None:
        """``f_min`` and ``f_max`` (default: half the sample rate) are in Hz.

        ``normalize`` is "recording" for zero mean and unit variance over each sample's real frames,
        "dataset" to subtract ``mean`` and divide by ``std``, or None for the natural logarithm of
        the power.
        """
        super().__init__()
        if normalize not in ("recording", "dataset", None):
            raise ValueError(f"normalize={normalize!r} is not one of 'recording', 'dataset', null")
        if normalize == "dataset" and (mean is None or std is None or std <= 0):
            raise ValueError(f"normalize='dataset' needs mean and a positive std: {mean=}, {std=}")
        self.sample_rate, self.num_mels = sample_rate, num_mels
        self.normalize = normalize
        self.mean, self.std = (mean, std) if normalize == "dataset" else (None, None)
        self.hop = sample_rate // HOPS_PER_SECOND
        window = torch.hann_window(round(WINDOW_SECONDS * sample_rate))
        bands = mel_bands(sample_rate, len(window), num_mels, f_min, f_max)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    def forward(self, field: ModalityInput) -> Float[Tensor, "b l m"]:
        """Return the spectrogram of ``field.data`` [b, l, h]; frames of missing hops are zero."""
        sound = waveform(field, self.sample_rate)
        with torch.autocast(sound.device.type, enabled=False):
            x = self.power(sound.float()).clamp(min=FLOOR).log()
            x = self.normalized(x, field.mask).masked_fill(~field.mask[..., None], 0)
        return x.to(self.window.dtype)

    def power(self, sound: Float[Tensor, "b n"]) -> Float[Tensor, "b l m"]:
        """Return the power in each band, without the last frame, which is beyond the last hop."""
        spectrum = torch.stft(
            sound,
            n_fft=2 * (len(self.bands) - 1),
            hop_length=self.hop,
            win_length=len(self.window),
            window=self.window.float(),
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()  # 5 x faster than a sum over pairs
        return power.mT[:, :-1] @ self.bands.float()

    def normalized(
        self, x: Float[Tensor, "b l m"], mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b l m"]:
        """Normalize as specified by ``normalize``."""
        if self.normalize is None:
            return x
        if self.mean is not None and self.std is not None:
            return (x - self.mean) / self.std
        x = x - real_mean(x, mask)
        return x / (real_mean(x.square(), mask) + 1e-3).sqrt()


def real_mean(x: Float[Tensor, "b l m"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b 1 1"]:
    """Return the mean of all values in the real frames; zero if there are none."""
    total = x.masked_fill(~mask[..., None], 0).sum(dim=(1, 2), keepdim=True)
    return total / (mask.sum(dim=1).clamp(min=1) * x.shape[2])[:, None, None]


def mel_bands(
    sample_rate: int, window: int, num_mels: int, f_min: float, f_max: float | None
) -> Float[Tensor, "f m"]:
    """Return triangular filters of unit height on the mel scale (HTK), over FFT bins.

    The FFT is zero-padded until every band contains a bin, to at most 8 windows.

    Args:
        sample_rate: Samples per second.
        window: Window length in samples.
        num_mels: Number of mel bands.
        f_min: Lowest frequency in Hz.
        f_max: Highest frequency in Hz; None for half the sample rate.

    Raises:
        ValueError: If the bands are too narrow, or the frequencies out of range.
    """
    highest = sample_rate / 2 if f_max is None else f_max
    if not 0 <= f_min < highest <= sample_rate / 2:
        raise ValueError(f"{f_min=}, f_max={highest} is not a band within 0 … {sample_rate / 2} Hz")
    if (bands := _bands(sample_rate, window, num_mels, f_min, highest)) is not None:
        return bands
    fewer = [1, *range(4, num_mels, 4)]  # with fewer bands, each is wider
    index = bisect_left(
        fewer, True, key=lambda n: _bands(sample_rate, window, n, f_min, highest) is None
    )
    largest = fewer[index - 1] if index else 0
    remedy = f"use num_mels={largest} or raise" if largest else "raise"
    raise ValueError(
        f"num_mels={num_mels} bands are too narrow for {f_min} … {highest} Hz at "
        f"sample_rate={sample_rate}; {remedy} sample_rate"
    )


def _bands(
    sample_rate: int, window: int, num_mels: int, f_min: float, highest: float
) -> Float[Tensor, "f m"] | None:
    """Return the filters, or None if even the longest FFT leaves a band without a bin."""
    from torchaudio.functional import melscale_fbanks

    size = 1 << (window - 1).bit_length()
    while size <= 8 * window:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "At least one mel filterbank")  # reported below
            with torch.device("cpu"):  # uses tensor values, which do not exist on "meta"
                bands = melscale_fbanks(size // 2 + 1, f_min, highest, num_mels, sample_rate)
        if bands.amax(dim=0).min() > 0:
            return bands
        size *= 2
    return None


class SpecAugment(nn.Module):
    """Mask random ranges of time and frequency in training (Park et al. 2019, without warping).

    Masked values are set to the recording's mean. Widths are uniform from 0 to the maximum.
    """

    def __init__(
        self,
        time_masks: int = 2,
        time_width: int = 40,
        freq_masks: int = 2,
        freq_width: int = 16,
        time_fraction: float = 0.2,
    ) -> None:
        """Set the number and the maximum width of the masks.

        Args:
            time_masks: Number of time masks.
            time_width: Maximum width of a time mask, in frames.
            freq_masks: Number of frequency masks.
            freq_width: Maximum width of a frequency mask, in bands.
            time_fraction: Maximum width of a time mask as a fraction of the recording.
        """
        super().__init__()
        self.time_masks, self.time_width = time_masks, time_width
        self.freq_masks, self.freq_width = freq_masks, freq_width
        self.time_fraction = time_fraction

    def forward(
        self, x: Float[Tensor, "b l m"], mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b l m"]:
        """Return the spectrogram, masked in training."""
        if not self.training or not (self.time_masks or self.freq_masks):
            return x
        frames = mask.sum(dim=1)
        max_width = (frames * self.time_fraction).floor().clamp(max=self.time_width)
        bands = torch.full_like(frames, x.shape[2])
        hidden = random_spans(self.time_masks, max_width, frames, x.shape[1])[:, :, None]
        max_width = bands.clamp(max=self.freq_width).float()
        hidden = hidden | random_spans(self.freq_masks, max_width, bands, x.shape[2])[:, None]
        return torch.where(hidden & mask[..., None], real_mean(x, mask), x)


def random_spans(
    count: int, max_width: Float[Tensor, " b"], length: Tensor, n: int
) -> Bool[Tensor, "b n"]:
    """Return masks of ``count`` random ranges per sample, within its first ``length`` elements.

    Args:
        count: Number of ranges per sample.
        max_width: Maximum width of a sample's ranges.
        length: Number of elements of each sample.
        n: Length of the masks.
    """
    width, start = torch.rand(2, len(length), count, device=length.device).unbind()
    width = (width * (max_width + 1)[:, None]).floor()
    start = (start * (length[:, None] - width + 1)).floor()
    position = torch.arange(n, device=length.device)[None, None]
    return ((position >= start[..., None]) & (position < (start + width)[..., None])).any(dim=1)
