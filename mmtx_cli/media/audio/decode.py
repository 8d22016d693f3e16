"""Decode audio files, and the audio tracks of videos, to a mono waveform."""

import os
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.media.audio.array_decode import decode_wave
from mmtx_cli.media.audio.resample import ROLLOFF, ZEROS


def decode_sound(
    path: str | os.PathLike[str],
    sample_rate: int,
    seconds: float | None = None,
    start: float | None = None,
    end: float | None = None,
    offset: float | None = None,
) -> Float[Tensor, " n"] | None:
    """Decode an audio file, or the audio of a video, to mono at ``sample_rate``.

    The format is detected by content, not by name. Channels are averaged. Full scale is 1, which
    resampling and lossy codecs may exceed slightly.

    Args:
        path: Audio or video file.
        sample_rate: Sample rate of the waveform in Hz.
        seconds: Maximum length of the waveform; None for no maximum.
        start: Start of the part to decode, in seconds from the beginning of the file as in
            ``decode_video``; clipped to the audio.
        end: End of the part, likewise.
        offset: Position of the ``seconds`` within the part, from 0 to 1; None for the center.

    Returns:
        The waveform, or None for a video without an audio stream.

    Raises:
        OutsideError: if the part contains no audio.
        UnreadableError: with a one-line reason, if the file is missing, empty, truncated, damaged,
            or neither audio nor video, its sample rate, channels or length are implausible, or
            samples are not finite.
        ValueError: if ``sample_rate``, ``seconds`` or ``offset`` is invalid.
    """
    wave = decode_wave(path, sample_rate, seconds, start, end, offset, filtered)
    return None if wave is None else torch.from_numpy(wave)


def filtered(wave: Float[np.ndarray, " n"], step: int, phases: int) -> Float[np.ndarray, " m"]:
    """Resample with torchaudio."""
    return _kernels(step, phases)(torch.from_numpy(wave)).numpy()


@lru_cache(maxsize=32)
def _kernels(step: int, phases: int) -> torch.nn.Module:
    from torchaudio.transforms import Resample

    return Resample(step, phases, lowpass_filter_width=ZEROS, rolloff=ROLLOFF)
