"""Decoding of files to NumPy arrays, for models that run without torch."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from mmtx_cli.config.preprocessing import HOPS_PER_SECOND, Preprocessing
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.media.audio.array_decode import decode_wave
from mmtx_cli.media.backend import load_array_decoders
from mmtx_cli.media.errors import OutsideError
from mmtx_cli.media.image_reader import read_picture
from mmtx_cli.media.resize import fit_pixels
from mmtx_cli.media.video.array_decode import Frames, decode_frames
from mmtx_cli.media.video.frame_sampling import Sampling
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits


class ArrayMedia:
    """Decodes what ``data/sample_reader.py`` decodes in evaluation, with the same values."""

    def __init__(self, preparation: Preprocessing, limits: DecodeLimits) -> None:
        self.preparation, self.limits = preparation, limits
        self.guard = IsolatedDecoder(limits.seconds, load_array_decoders, limits.bytes)

    def pictures(self, sample: Sample, seed: int) -> UInt8[np.ndarray, "l 3 s s"]:
        """Return all images of a sample; there is no augmentation that ``seed`` could change."""
        size, how = self.preparation.image_size, self.preparation.resize_mode
        pixels = [read_picture(self.guard, path, size, self.limits.pixels) for path in sample.image]
        return np.stack([fit_pixels(picture, size, how) for picture in pixels])

    def clip(self, sample: Sample, seed: int, offset: float | None) -> Frames:
        """Return the frames of a sample's video and their times; ``offset`` is not used."""
        p = self.preparation
        sampling = Sampling(p.num_frames, p.frame_sampling, p.fps)
        window = sample.start, sample.end
        return self.guard.run(
            decode_frames, sample.video, sampling, p.image_size, p.resize_mode, *window
        )

    def sound(self, sample: Sample, offset: float | None) -> Float[np.ndarray, "l h"] | None:
        """Return a sample's audio in hops of 10 ms; None if the file has no audio."""
        p = self.preparation
        window = sample.sound_window
        try:
            wave = self.guard.run(
                decode_wave, sample.audio, p.sample_rate, p.audio_seconds, *window
            )
        except OutsideError:
            if not sample.has_own_sound:
                raise
            return None  # a video may be longer than its soundtrack
        return None if wave is None else hops(wave, p.sample_rate)


def hops(wave: Float[np.ndarray, " n"], sample_rate: int) -> Float[np.ndarray, "l h"]:
    """Split a waveform into hops of 10 ms, zero-padding the last."""
    size = sample_rate // HOPS_PER_SECOND
    return np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)


def padded(
    rows: Sequence[np.ndarray | None], shape: tuple[int, ...], dtype: type
) -> tuple[Shaped[np.ndarray, "b l ..."], Bool[np.ndarray, "b l"]]:
    """Return rows padded with zeros to the longest, at least 1, and where they are real.

    Args:
        rows: One array per sample; None is all padding.
        shape: Shape of an element of a row.
        dtype: Type of the result.
    """
    lengths = np.array([0 if row is None else len(row) for row in rows])
    data: np.ndarray = np.zeros((len(rows), max(1, int(lengths.max())), *shape), dtype=dtype)
    for i, row in enumerate(rows):
        if row is not None:
            data[i, : len(row)] = row
    return data, np.arange(data.shape[1]) < lengths[:, None]
