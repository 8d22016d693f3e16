"""Decode audio files, and the audio tracks of videos, to a mono waveform with NumPy."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from mmtx_cli.media.audio.array_resample import filtered_array
from mmtx_cli.media.audio.mp3 import mp3_fault
from mmtx_cli.media.audio.resample import Filter, read_resampled, resampled_length
from mmtx_cli.media.audio.sniff import first_text_line, image_format
from mmtx_cli.media.audio.window import Window
from mmtx_cli.media.errors import OUT_OF_MEMORY, OutsideError, UnreadableError
from mmtx_cli.media.integrity import check_whole
from mmtx_cli.media.regular_file import open_regular

_LEAST_RATE, _GREATEST_RATE = 100, 1_000_000
_MOST_CHANNELS = 256
_LOUDEST = 100.0
_START = 512


@runtime_checkable
class Sound(Protocol):
    """An open audio stream at ``rate`` Hz, whose first sample is at ``zero`` seconds."""

    rate: int
    channels: int
    zero: float

    def length(self) -> int:
        """Return the number of samples per channel."""

    def read(self, first: int, count: int | None) -> Float[np.ndarray, " n"]:
        """Return at most ``count`` samples from ``first`` on, averaged over the channels."""

    def pieces(self, first: int, count: int | None) -> Iterator[Float[np.ndarray, " n"]]:
        """Yield the samples of ``read`` in pieces that fit into memory, without filling gaps."""


def decode_wave(
    path: str | os.PathLike[str],
    sample_rate: int,
    seconds: float | None = None,
    start: float | None = None,
    end: float | None = None,
    offset: float | None = None,
    filtered: Filter = filtered_array,
) -> Float[np.ndarray, " n"] | None:
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
        filtered: Resamples.

    Returns:
        The waveform, or None for a video without an audio stream.

    Raises:
        OutsideError: if the part contains no audio.
        UnreadableError: with a one-line reason, if the file is missing, empty, truncated, damaged,
            or neither audio nor video, its sample rate, channels or length are implausible, or
            samples are not finite.
        ValueError: if ``sample_rate``, ``seconds`` or ``offset`` is invalid.
    """
    path = os.fspath(path)
    if sample_rate < 1:
        raise ValueError(f"sample_rate must be at least 1, not {sample_rate}")
    window = Window(seconds, start, end, offset)
    window.check(path)
    with _as_unreadable(path), _opened(path) as sound:
        if sound is None:
            return None
        wave = _read(path, sound, sample_rate, window, filtered)
    if not len(wave):
        raise _silent(path, window)
    _check_samples(path, wave)
    return wave


def check_sound(path: str, start: float | None = None, end: float | None = None) -> None:
    """Check that a part of an audio file of any length is readable, decoding it in pieces.

    Raises:
        UnreadableError: as ``decode_wave`` does.
    """
    window = Window(None, start, end)
    window.check(path)
    with _as_unreadable(path), _opened(path) as sound:
        if sound is None:
            return
        _check_header(path, sound)
        first, count = 0, None
        if not window.is_everything:
            first, last = window.samples(path, sound.length(), sound.rate, sound.zero)
            count = last - first
        has_audio = False
        for piece in sound.pieces(first, count):
            if len(piece):
                has_audio = True
                _check_samples(path, piece)
        if not has_audio:
            raise _silent(path, window)


def _silent(path: str, window: Window) -> UnreadableError:
    """Return the error for a file, or a part of one, that contains no audio."""
    if window.is_everything:
        return UnreadableError(path, "contains no audio")
    return OutsideError(path, "contains no audio in the requested range")


@contextmanager
def _as_unreadable(path: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise UnreadableError(path, OUT_OF_MEMORY) from error
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error


def sound_seconds(
    path: str | os.PathLike[str], start: float | None = None, end: float | None = None
) -> float:
    """Return the seconds of audio in a part of a file, from the header if it gives the length.

    The result is 0 for a video without an audio stream.

    Raises:
        UnreadableError: as ``decode_wave`` does.
    """
    with _opened(os.fspath(path)) as sound:
        if sound is None:
            return 0.0
        last = sound.zero + sound.length() / sound.rate
        return max(0.0, min(last, end or last) - max(sound.zero, start or 0.0))


@contextmanager
def _opened(path: str) -> Iterator[Sound | None]:
    """Open the formats that libsndfile reads well with it, and all others with FFmpeg."""
    # imported here, since runs without audio do not need them
    from mmtx_cli.media.audio.pyav_reader import open_stream
    from mmtx_cli.media.audio.soundfile_reader import SoundFile, open_file

    check_whole(path)
    with open_regular(path) as raw:
        start = raw.read(_START)
    if name := image_format(start):
        raise UnreadableError(path, f"{name}, not audio")
    file = open_file(path)
    if isinstance(file, SoundFile):
        with closing(file):
            yield file
        return
    fault = file or "damaged, or not audio or video of a known format"
    if (line := first_text_line(start)) is not None:
        fault = f"text, not audio; it starts with {line!r}"
    if line is None and (truncation := mp3_fault(path)):
        raise UnreadableError(path, truncation)
    try:
        stream = open_stream(path, fault)
    except UnreadableError as error:
        # if the first bytes are of an audio format, libsndfile's error is more specific
        raise UnreadableError(path, file or error.reason) from error
    if stream is None:
        yield None
        return
    with closing(stream):
        yield stream


def _check_header(path: str, sound: Sound) -> None:
    if not _LEAST_RATE <= sound.rate <= _GREATEST_RATE:
        limits = f"must be between {_LEAST_RATE} and {_GREATEST_RATE:,} Hz"
        raise UnreadableError(path, f"implausible sample rate of {sound.rate:,} Hz; {limits}")
    if sound.channels > _MOST_CHANNELS:
        raise UnreadableError(
            path, f"{sound.channels} channels; at most {_MOST_CHANNELS} are supported"
        )


def _read(
    path: str, sound: Sound, sample_rate: int, window: Window, filtered: Filter
) -> Float[np.ndarray, " n"]:
    _check_header(path, sound)
    first, last = 0, None
    if not window.is_everything:
        length = resampled_length(sound.length(), sound.rate, sample_rate)
        first, last = window.samples(path, length, sample_rate, sound.zero)
    return read_resampled(sound.read, sound.rate, sample_rate, first, last, filtered)


def _check_samples(path: str, wave: Float[np.ndarray, " n"]) -> None:
    peak = np.abs(wave).max()  # NaN if any sample is NaN
    if not np.isfinite(peak):
        raise UnreadableError(path, "contains NaN or infinite samples")
    if peak > _LOUDEST:
        raise UnreadableError(path, f"samples as large as {peak:g}; full scale is 1")
