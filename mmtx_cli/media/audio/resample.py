"""Resample a whole waveform, or a part of it with identical values."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# read(first, count) returns up to count samples from first on; all remaining ones for None
Read = Callable[[int, int | None], Float[np.ndarray, " n"]]

# torchaudio's defaults: zero crossings on each side of the kernel, and the rolloff frequency
_ZEROS, _ROLLOFF = 6, 0.99
# torchaudio stores a kernel for each phase, which takes gigabytes for rates such as 44,101 Hz
_LARGEST_TABLE = 1 << 20
_CHUNK = 1 << 12


def resampled_length(length: int, source: int, target: int) -> int:
    """Return how many samples at rate ``target`` result from ``length`` samples at ``source``."""
    return -(-length * target // source)


def read_resampled(
    read: Read, source: int, target: int, first: int, last: int | None
) -> Float[Tensor, " n"]:
    """Return samples ``first`` to ``last`` at the rate ``target``, reading no more than needed.

    Bandlimited interpolation with a Hann window, as in ``torchaudio.functional.resample``. A part
    has the same values as in the whole waveform.

    Args:
        read: Reads samples at the rate ``source``.
        source: Sample rate in Hz of what ``read`` returns.
        target: Sample rate of the result in Hz.
        first: Index of the first sample, at the rate ``target``.
        last: Index after the last sample; None for the end of the waveform.
    """
    if source == target:
        return torch.from_numpy(read(first, None if last is None else last - first))
    common = math.gcd(source, target)
    step, phases = source // common, target // common
    width = math.ceil(_ZEROS * step / (min(step, phases) * _ROLLOFF))
    use_table = phases * (step + 2 * width) <= _LARGEST_TABLE
    begin = max(0, first * step // phases - width - 1)
    if use_table:  # start at a whole period: `step` input samples become `phases` output samples
        begin = max(0, first // phases - math.ceil(width / step)) * step
    count = None if last is None else math.ceil(last * step / phases) + width + 1 - begin
    wave = torch.from_numpy(read(begin, count))
    end = resampled_length(begin + len(wave), step, phases)
    end = end if last is None else min(end, last)
    if not len(wave):
        return wave
    if not use_table:
        return _interpolated(wave, begin, step, phases, width, first, end)
    skipped = begin // step * phases
    return _kernels(step, phases)(wave)[first - skipped : end - skipped]


@lru_cache(maxsize=32)
def _kernels(step: int, phases: int) -> torch.nn.Module:
    from torchaudio.transforms import Resample

    return Resample(step, phases, lowpass_filter_width=_ZEROS, rolloff=_ROLLOFF)


def _interpolated(
    wave: Float[Tensor, " k"],
    begin: int,
    step: int,
    phases: int,
    width: int,
    first: int,
    end: int,
) -> Float[Tensor, " n"]:
    """Compute the same sum without a table, evaluating the kernel at each sample."""
    cutoff = min(step, phases) * _ROLLOFF / step  # as a fraction of the Nyquist frequency
    padded = torch.nn.functional.pad(wave, (width + 1, width + 2))
    taps = torch.arange(-width, width + 2)
    parts = []
    for low in range(first, end, _CHUNK):
        # exact integer positions: output sample j is at input position j * step / phases
        positions = torch.arange(low, min(low + _CHUNK, end)) * step
        whole, part = positions // phases, (positions % phases).double() / phases
        phase = ((taps - part[:, None]) * cutoff).clamp(-_ZEROS, _ZEROS)
        weights = torch.sinc(phase) * torch.cos(phase * (math.pi / 2 / _ZEROS)) ** 2 * cutoff
        samples = padded[(whole - begin + width + 1)[:, None] + taps]
        parts.append((weights.float() * samples).sum(1))
    return torch.cat(parts) if parts else wave[:0]
