"""Sound files, and the sound of videos, to a mono waveform."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol

import av
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.data.decode.foreign import foreign, is_picture
from mmtx_cli.data.decode.resample import read_resampled, resampled_length
from mmtx_cli.data.decode.sound_file import SoundFile, open_file
from mmtx_cli.data.decode.sound_stream import open_stream
from mmtx_cli.data.decode.span import span
from mmtx_cli.data.unreadable import UnreadableError

_RATES = (100, 1_000_000)
_MOST_CHANNELS = 256
_LONGEST_HOURS = 24
_LOUDEST = 100.0
_START = 512


class Sound(Protocol):
    """An open sound; ``length`` is in samples at its own ``rate``."""

    rate: int
    channels: int

    @property
    def length(self) -> int: ...

    def read(self, first: int, count: int | None) -> Float[np.ndarray, " n"]:
        """Samples from ``first`` on, at most ``count`` and only as many as there are."""


def decode_sound(
    path: str | os.PathLike[str],
    sample_rate: int,
    seconds: float | None = None,
    start: float | None = None,
    end: float | None = None,
    offset: float | None = None,
) -> Float[Tensor, " n"] | None:
    """Decode a sound file, or the sound of a video, to mono at ``sample_rate``.

    The content decides the format, not the name. Of the part from ``start`` to ``end`` (seconds
    from the beginning of the file; as far as the sound goes) at most ``seconds`` are decoded:
    ``offset`` between 0 and 1 says which, None the centre. Channels are averaged; full scale is 1,
    which lossy codecs exceed a little. None is a video without an audio stream.

    Raises:
        UnreadableError: with a one-line reason, if the file is missing, empty, cut off, damaged,
            neither sound nor video, without sound in the part asked for, absurd in sample rate,
            channels or length, or holds samples that are no numbers.
        ValueError: if the part asked for is none.
    """
    _check(sample_rate, seconds, start, end, offset)
    path = os.fspath(path)
    try:
        with _opened(path) as sound:
            if sound is None:
                return None
            wave = _read(path, sound, sample_rate, seconds, start, end, offset).numpy()
    except av.FFmpegError as error:
        raise UnreadableError(path, f"damaged: {error.strerror}") from error
    except MemoryError as error:
        raise UnreadableError(path, "too large for this machine's memory") from error
    if not len(wave):
        raise UnreadableError(path, "holds no sound" + ("" if start is None else " there"))
    peak = np.abs(wave).max()  # NaN where one is
    if not np.isfinite(peak):
        raise UnreadableError(path, "holds samples that are not finite numbers")
    if peak > _LOUDEST:
        raise UnreadableError(path, f"samples as large as {peak:g}, where full scale is 1")
    return torch.from_numpy(wave)


def _check(
    sample_rate: int,
    seconds: float | None,
    start: float | None,
    end: float | None,
    offset: float | None,
) -> None:
    faults = {
        f"sample_rate must be at least 1, not {sample_rate}": sample_rate < 1,
        f"seconds must be above 0, not {seconds}": seconds is not None and not seconds > 0,
        f"start must not be below 0, not {start}": start is not None and not start >= 0,
        f"end must be behind start ({start or 0}), not {end}": end is not None
        and not end > (start or 0),
        f"offset must be between 0 and 1, not {offset}": offset is not None
        and not 0 <= offset <= 1,
    }
    for fault, found in faults.items():
        if found:
            raise ValueError(fault)


def _read(
    path: str,
    sound: Sound,
    sample_rate: int,
    seconds: float | None,
    start: float | None,
    end: float | None,
    offset: float | None,
) -> Float[Tensor, " n"]:
    low, high = _RATES
    if not low <= sound.rate <= high:
        reason = f"a sample rate of {sound.rate:,} Hz; between {low} and {high:,} are possible"
        raise UnreadableError(path, reason)
    if sound.channels > _MOST_CHANNELS:
        raise UnreadableError(path, f"{sound.channels} channels; at most {_MOST_CHANNELS} can be")
    first, last = 0, None
    if not seconds is start is end is None:
        length = resampled_length(sound.length, sound.rate, sample_rate)
        first, last = span(path, length, sample_rate, seconds, start, end, offset)
    return read_resampled(sound.read, sound.rate, sample_rate, first, last)


@contextmanager
def _opened(path: str) -> Iterator[Sound | None]:
    """Open with libsndfile what it reads well, everything else with FFmpeg."""
    start = _first_bytes(path)
    sound = open_file(path)
    if isinstance(sound, SoundFile):
        with closing(sound):
            yield sound
        return
    fault = sound or "damaged, or neither sound nor video of a known format"
    try:
        if is_picture(start):
            raise av.InvalidDataError(0, "a picture")
        stream = open_stream(path)
    except av.FFmpegError as error:
        other = foreign(start)
        raise UnreadableError(path, f"{other}, not a sound" if other else fault) from error
    if stream is None:
        yield None
        return
    with closing(stream):
        yield stream


def _first_bytes(path: str) -> bytes:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(path, "not a regular file")
        with open(path, "rb") as file:
            start = file.read(_START)
    except FileNotFoundError as error:
        raise UnreadableError(path, "no such file") from error
    except PermissionError as error:
        raise UnreadableError(path, "permission denied") from error
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error
    if not start:
        raise UnreadableError(path, "empty file")
    return start
