"""Frame times of a clip: a pure function of window, sampling and one random number."""

import math
from dataclasses import dataclass

HOW = ("uniform", "fps", "dense")


@dataclass(frozen=True)
class Sampling:
    """Number of frames to sample from a window, and their spacing.

    ``how`` is "uniform": one frame from each of ``num_frames`` equal parts of the window;
    "fps": a frame every 1/``fps`` seconds, at most ``num_frames``; or "dense": ``num_frames``
    consecutive frames at ``fps`` frames per second (None: the video's own rate).

    Raises:
        ValueError: if ``how`` is unknown or a number is invalid.
    """

    num_frames: int = 8
    how: str = "uniform"
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise ValueError(
                f"how={self.how!r}: unknown frame sampling; choose from: {', '.join(HOW)}"
            )
        if self.num_frames < 1:
            raise ValueError(f"num_frames must be at least 1, not {self.num_frames}")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be a number above 0, not {self.fps}")
        if self.how == "fps" and self.fps is None:
            raise ValueError('how="fps" requires fps, the frames per second')


def frame_times(
    duration_start: float, duration_end: float, sampling: Sampling, offset: float | None
) -> list[float]:
    """Return the times of the frames in seconds: ascending, within the window, at least one.

    A window too short for ``num_frames`` at a given rate gives as many as fit.

    Args:
        duration_start: Start of the window in seconds.
        duration_end: End of the window in seconds.
        sampling: Number and spacing of the frames.
        offset: Random number in [0, 1) for a training clip: the position within each part of a
            uniform clip, or of a clip within a longer window. None for evaluation: the middle.

    Raises:
        ValueError: if the window ends before it starts, ``offset`` is outside [0, 1), or a dense
            clip has no frame rate.
    """
    length = duration_end - duration_start
    if not (math.isfinite(length) and length >= 0):
        raise ValueError(f"invalid window from {duration_start} s to {duration_end} s")
    if offset is not None and not 0 <= offset < 1:
        raise ValueError(f"offset must be in [0, 1), not {offset}")
    if length == 0:
        return [duration_start]
    place = 0.5 if offset is None else offset
    if sampling.how == "uniform":
        step = length / sampling.num_frames
        times = [(part + place) * step for part in range(sampling.num_frames)]
    else:
        times = _at_rate(length, sampling, place)
    last = math.nextafter(duration_end, -math.inf)
    return [max(duration_start, min(duration_start + time, last)) for time in times]


def _at_rate(length: float, sampling: Sampling, place: float) -> list[float]:
    """Return the midpoints of intervals of 1/fps, so that rounding never selects another frame."""
    if sampling.fps is None:
        raise ValueError("a dense clip needs a frame rate: the video's own, or fps")
    intervals = max(1, math.floor(min(length * sampling.fps + 1e-6, 2.0**53)))
    step = min(1 / sampling.fps, length)
    count = min(sampling.num_frames, intervals)
    if sampling.how == "dense":
        # whole frames: a start between two would repeat one frame and skip another
        first = math.floor(place * (intervals - count + 1)) * step
    else:
        first = place * max(0.0, length - count * step)
    return [first + (i + 0.5) * step for i in range(count)]
