"""Resampling with NumPy."""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from mmtx_cli.media.audio.resample import ROLLOFF, ZEROS, resampled_length

_BLOCK = 1 << 22
"""Samples that are copied at a time."""


def filtered_array(
    wave: Float[np.ndarray, " n"], step: int, phases: int
) -> Float[np.ndarray, " m"]:
    """Resample a waveform as ``torchaudio.transforms.Resample`` does, from ``step`` to ``phases``
    samples; the results differ by rounding errors.
    """
    kernels = _kernels(step, phases)
    width = (len(kernels) - step) // 2
    padded = np.pad(wave, (width, width + step))
    windows = sliding_window_view(padded, len(kernels))[::step]
    rows = max(1, _BLOCK // len(kernels))
    parts = [windows[i : i + rows] @ kernels for i in range(0, len(windows), rows)]
    return np.concatenate(parts).ravel()[: resampled_length(len(wave), step, phases)]


@lru_cache(maxsize=32)
def _kernels(step: int, phases: int) -> Float[np.ndarray, "k {phases}"]:
    """Return a windowed sinc for each phase (``torchaudio.functional.resample``)."""
    cutoff = min(step, phases) * ROLLOFF
    width = math.ceil(ZEROS * step / cutoff)
    taps = np.arange(-width, width + step) / step
    starts = np.arange(phases, dtype=np.float32) / np.float32(phases)  # as rounded there
    phase = np.clip((taps[:, None] - starts) * cutoff, -ZEROS, ZEROS)
    window = np.cos(phase * math.pi / ZEROS / 2) ** 2
    return (np.sinc(phase) * window * (cutoff / step)).astype(np.float32)
