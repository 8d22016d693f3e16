"""Decode videos to clips: upright frames at chosen times, resized to a square."""

import os
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from mmtx_cli.media.backend import backend_name
from mmtx_cli.media.geometry import FITS
from mmtx_cli.media.integrity import check_whole
from mmtx_cli.media.transform import fit_array
from mmtx_cli.media.video.array_decode import frame_chooser
from mmtx_cli.media.video.frame_sampling import Sampling
from mmtx_cli.media.video.pyav_frames import pyav_frames
from mmtx_cli.media.worker.serialization import record


@record
@dataclass(frozen=True)
class Clip:
    """Upright RGB frames, and the time of each in seconds from the beginning of the file."""

    frames: UInt8[Tensor, "t 3 h w"]
    seconds: list[float]


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

    choose = frame_chooser(path, sampling, start, end, offset)
    if backend_name() == "torchcodec":
        from mmtx_cli.media.video.torchcodec_frames import torchcodec_frames

        found = torchcodec_frames(path, container, choose, size, fit)
        if found is not None:
            return Clip(*found)
    frames, seconds = pyav_frames(path, choose, size, fit, fit_array)
    return Clip(torch.from_numpy(frames), seconds)
