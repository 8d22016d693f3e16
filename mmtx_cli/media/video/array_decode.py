"""Decode videos with PyAV and NumPy."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.integrity import check_whole
from mmtx_cli.media.resize import fit_pixels
from mmtx_cli.media.video.frame_sampling import Sampling, frame_times
from mmtx_cli.media.video.pyav_frames import pyav_frames
from mmtx_cli.media.worker.serialization import record

Choose = Callable[[float, float, float | None], list[float]]
"""Returns the times of frames, given the start and end of the video and its frame rate."""


@record
@dataclass(frozen=True)
class Frames:
    """Upright RGB frames, and the time of each in seconds from the beginning of the file."""

    frames: UInt8[np.ndarray, "t 3 h w"]
    seconds: list[float]


def decode_frames(
    path: str | os.PathLike[str],
    sampling: Sampling,
    size: int,
    fit: str = "crop",
    start: float | None = None,
    end: float | None = None,
) -> Frames:
    """Decode the frames that ``decode_video`` decodes in evaluation if it uses PyAV.

    Args:
        path: Video file.
        sampling: Number and spacing of the frames.
        size: Side of the square frames in pixels.
        fit: "crop", "pad" or "squash".
        start: Start of the window in seconds from the beginning of the file.
        end: End of the window, likewise.

    Raises:
        UnreadableError: as ``decode_video`` does.
    """
    path = os.fspath(path)
    check_whole(path)
    choose = frame_chooser(path, sampling, start, end)
    return Frames(*pyav_frames(path, choose, size, fit, fit_pixels))


def frame_chooser(
    path: str,
    sampling: Sampling,
    start: float | None = None,
    end: float | None = None,
    offset: float | None = None,
) -> Choose:
    """Return the function that chooses the frames of a window.

    Args:
        path: Video file, for messages.
        sampling: Number and spacing of the frames.
        start: Start of the window in seconds from the beginning of the file.
        end: End of the window, likewise.
        offset: Position of a training clip, in [0, 1); None for evaluation.
    """

    def choose(first: float, last: float, fps: float | None) -> list[float]:
        begin, stop = _window(path, first, last, start, end)
        chosen_sampling = sampling
        if sampling.how == "dense" and sampling.fps is None:
            if not fps or not math.isfinite(fps):
                raise UnreadableError(path, "its header has no frame rate; set fps")
            chosen_sampling = Sampling(sampling.num_frames, "dense", fps)
        return frame_times(begin, stop, chosen_sampling, offset)

    return choose


def _window(
    path: str, first: float, last: float, start: float | None, end: float | None
) -> tuple[float, float]:
    """Clip the window to the extent of the video."""
    for name, value in (("start", start), ("end", end)):
        if value is not None and not math.isfinite(value):
            raise UnreadableError(path, f"{name} {value} is not a valid time")
    if start is not None and start >= last and start > first:
        raise UnreadableError(path, f"start {start:g} s is beyond the end, {last:g} s")
    if end is not None and end <= first:
        raise UnreadableError(path, f"end {end:g} s is before the first frame, {first:g} s")
    if start is not None and end is not None and end <= start:
        raise UnreadableError(path, f"end {end:g} s is before start {start:g} s")
    return max(first, first if start is None else start), last if end is None else min(last, end)
