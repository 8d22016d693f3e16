"""Decode videos to clips: upright frames at chosen times, resized to a square."""

import math
import os
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from mmtx_cli.media.backend import backend_name
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.integrity import check_whole
from mmtx_cli.media.transform import FITS
from mmtx_cli.media.video.frame_sampling import Sampling, frame_times
from mmtx_cli.media.video.probe import open_video
from mmtx_cli.media.worker.serialization import record

_ROTATABLE = ("mov", "matroska")
"""Containers that can declare a rotation; in others the stream's own width and height apply."""


@record
@dataclass(frozen=True)
class Clip:
    """Upright RGB frames, and the time of each in seconds from the beginning of the file."""

    frames: UInt8[Tensor, "t 3 h w"]
    seconds: list[float]


@record
@dataclass(frozen=True)
class VideoFacts:
    """Properties of a video by its header; ``fps`` is None if not declared, sizes are upright.

    The video is shown from ``start`` to ``start + duration``, in seconds from the beginning of the
    file, audio included.
    """

    start: float
    duration: float
    fps: float | None
    width: int
    height: int
    has_audio: bool
    codec: str


def decode_video(
    path: str | os.PathLike[str],
    sampling: Sampling,
    size: int,
    fit: str = "crop",
    start: float | None = None,
    end: float | None = None,
    offset: float | None = None,
) -> Clip:
    """Decode the frames that ``sampling`` selects from the window from ``start`` to ``end``.

    The frame at a given time is the last that begins at or before it. Each frame is returned once,
    so a video with few frames gives fewer than ``num_frames``.

    Args:
        path: Video file.
        sampling: Number and spacing of the frames.
        size: Side of the square frames in pixels.
        fit: "crop", "pad" or "squash", as in ``media/transform.py``.
        start: Start of the window in seconds from the beginning of the file, as in players and
            ``ffmpeg -ss``; the window is clipped to the file.
        end: End of the window, likewise.
        offset: Position of a training clip, in [0, 1); None for evaluation (see ``frame_times``).

    Raises:
        UnreadableError: with a one-line reason, if the file is missing, empty, truncated, damaged,
            not a video, or implausibly large or long, or if the window lies outside of it.
        ConfigError: if ``MMTX_DECODER`` names no decoder that loads.
        ValueError: if ``size``, ``fit`` or ``offset`` is invalid.
    """
    if size < 1 or fit not in FITS:
        raise ValueError(f"size {size} and fit {fit!r}: size must be at least 1, fit one of {FITS}")
    path = os.fspath(path)
    container = check_whole(path)

    def choose(first: float, last: float, fps: float | None) -> list[float]:
        begin, stop = _window(path, first, last, start, end)
        chosen_sampling = sampling
        if sampling.how == "dense" and sampling.fps is None:
            if not fps or not math.isfinite(fps):
                raise UnreadableError(path, "its header has no frame rate; set fps")
            chosen_sampling = Sampling(sampling.num_frames, "dense", fps)
        return frame_times(begin, stop, chosen_sampling, offset)

    if backend_name() == "torchcodec":
        from mmtx_cli.media.video.torchcodec_frames import torchcodec_frames

        found = torchcodec_frames(path, container, choose, size, fit)
        if found is not None:
            return Clip(*found)
    from mmtx_cli.media.video.pyav_frames import pyav_frames

    return Clip(*pyav_frames(path, choose, size, fit))


def video_facts(path: str | os.PathLike[str]) -> VideoFacts:
    """Read the header; the first frame is decoded only if the container can declare a rotation.

    Raises:
        UnreadableError: as ``decode_video`` does, for what the header shows.
    """
    path = os.fspath(path)
    check_whole(path)
    with open_video(path) as source:
        context = source.stream.codec_context
        width, height = context.width, context.height
        if source.container.format.name.startswith(_ROTATABLE):
            first = next(source.container.decode(source.stream), None)
            if first is not None and round(first.rotation / 90) % 2:
                width, height = height, width
        return VideoFacts(
            start=source.start - source.origin,
            duration=source.end - source.start,
            fps=source.fps,
            width=width,
            height=height,
            has_audio=bool(source.container.streams.audio),
            codec=context.codec.canonical_name,
        )


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
