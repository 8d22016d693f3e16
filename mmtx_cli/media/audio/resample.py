"""Resample a whole waveform, or a part of it with identical values."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

# read(first, count) returns up to count samples from first on; all remaining ones for None
Read = Callable[[int, int | None], Float[np.ndarray, " n"]]

Filter = Callable[[Float[np.ndarray, " n"], int, int], Float[np.ndarray, " m"]]
"""Resamples a waveform from its beginning: ``phases`` samples for every ``step``."""

# torchaudio's defaults: zero crossings on each side of the kernel, and the rolloff frequency
ZEROS, ROLLOFF = 6, 0.99
# torchaudio stores a kernel for each phase, which takes gigabytes for rates such as 44,101 Hz
_LARGEST_TABLE = 1 << 20
_CHUNK = 1 << 12


def resampled_length(length: int, source: int, target: int) -> int:
    """Return how many samples at rate ``target`` result from ``length`` samples at ``source``."""
    return -(-length * target // source)


def read_resampled(
    read: Read, source: int, target: int, first: int, last: int | None, filtered: Filter
) -> Float[np.ndarray, " n"]:
    """Return samples ``first`` to ``last`` at the rate ``target``, reading no more than needed.

    Bandlimited interpolation with a Hann window, as in ``torchaudio.functional.resample``. A part
    has the same values as in the whole waveform.

    Args:
        read: Reads samples at the rate ``source``.
        source: Sample rate in Hz of what ``read`` returns.
        target: Sample rate of the result in Hz.
        first: Index of the first sample, at the rate ``target``.
        last: Index after the last sample; None for the end of the waveform.
        filtered: Resamples with a kernel for each phase.
    """
    if source == target:
        return read(first, None if last is None else last - first)
    common = math.gcd(source, target)
    step, phases = source // common, target // common
    width = math.ceil(ZEROS * step / (min(step, phases) * ROLLOFF))
    use_table = phases * (step + 2 * width) <= _LARGEST_TABLE
    begin = max(0, first * step // phases - width - 1)
    if use_table:  # start at a whole period: `step` input samples become `phases` output samples
        begin = max(0, first // phases - math.ceil(width / step)) * step
    count = None if last is None else math.ceil(last * step / phases) + width + 1 - begin
    wave = read(begin, count)
    end = resampled_length(begin + len(wave), step, phases)
    end = end if last is None else min(end, last)
    if not len(wave):
        return wave
    if not use_table:
        return _interpolated(wave, begin, step, phases, width, first, end)
    skipped = begin // step * phases
    return filtered(wave, step, phases)[first - skipped : end - skipped]


def _interpolated(
    wave: Float[np.ndarray, " k"],
    begin: int,
    step: int,
    phases: int,
    width: int,
    first: int,
    end: int,
) -> Float[np.ndarray, " n"]:
    """Compute the same sum without a table, evaluating the kernel at each sample."""
    cutoff = min(step, phases) * ROLLOFF / step  # as a fraction of the Nyquist frequency
    padded = np.pad(wave, (width + 1, width + 2))
    taps = np.arange(-width, width + 2)
    parts = [wave[:0]]
    for low in range(first, end, _CHUNK):
        # exact integer positions: output sample j is at input position j * step / phases
        positions = np.arange(low, min(low + _CHUNK, end)) * step
        whole, part = positions // phases, positions % phases / phases
        phase = np.clip((taps - part[:, None]) * cutoff, -ZEROS, ZEROS)
        weights = np.sinc(phase) * np.cos(phase * (math.pi / 2 / ZEROS)) ** 2 * cutoff
        samples = padded[(whole - begin + width + 1)[:, None] + taps]
        parts.append((weights.astype(np.float32) * samples).sum(axis=1))
    return np.concatenate(parts)
