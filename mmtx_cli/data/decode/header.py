"""What a video file says of itself: opened by PyAV, refused where that cannot be true."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmtx_cli.data.unreadable import UnreadableError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_SIDE = 16384
MAX_PIXELS = 178_956_970  # Pillow's limit for pictures: 512 MiB as RGB
MAX_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Source:
    """An open file, its video stream, and when that begins and ends in presentation time."""

    path: str
    container: "InputContainer"
    stream: "VideoStream"
    start: float
    end: float

    @property
    def fps(self) -> float | None:
        """Frames a second, on average; None where the header does not tell."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate else None


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """Open the best video stream, as FFmpeg chooses it; its decoder runs in this thread alone.

    Raises:
        UnreadableError: here and from the body, whatever FFmpeg says against the file.
    """
    import av

    try:
        # an absolute path is nothing but a path, whatever colons it holds
        with av.open(os.path.abspath(path), metadata_errors="ignore") as container:
            stream = _video_stream(path, container)
            # workers are as many as cores: threads would add a fifth to the work of each
            stream.codec_context.thread_count = 1
            check_dimensions(path, stream.codec_context.width, stream.codec_context.height)
            start = float((stream.start_time or 0) * stream.time_base)
            end = start + (_duration(stream) or _last_shown(container, stream) - start)
            check_duration(path, end - start)
            yield Source(path, container, stream, start, end)
    except UnreadableError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise UnreadableError(path, _reason(error)) from error


def _video_stream(path: str, container: "InputContainer") -> "VideoStream":
    from av.stream import Disposition

    name = container.format.name
    if name == "image2" or name.endswith("_pipe"):
        raise UnreadableError(path, "a picture, not a video")
    stream = container.streams.best("video")
    if stream is None:
        raise UnreadableError(path, "no video stream")
    if Disposition.attached_pic in stream.disposition:
        raise UnreadableError(path, "no video stream, only a cover picture")
    if stream.codec_context is None:
        raise UnreadableError(path, "no decoder for its video stream")
    return stream


def check_dimensions(path: str, width: int | None, height: int | None) -> None:
    """Raise UnreadableError for a size that no video has."""
    if not width or not height or min(width, height) < 0:
        raise UnreadableError(path, "its header tells no width and height")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UnreadableError(
            path,
            f"absurd dimensions: {width} x {height}; at most {MAX_SIDE:,} a side "
            f"and {MAX_PIXELS:,} pixels",
        )


def check_duration(path: str, seconds: float) -> None:
    """Raise UnreadableError for a length that no video has."""
    if not (math.isfinite(seconds) and 0 <= seconds <= MAX_SECONDS):
        raise UnreadableError(path, f"absurd duration: {seconds:g} s; at most 7 days")


def _duration(stream: "VideoStream") -> float | None:
    """Seconds by the stream's own header; None where it does not say."""
    return float(stream.duration * stream.time_base) if stream.duration else None


def _last_shown(container: "InputContainer", stream: "VideoStream") -> float:
    """When the last frame ends, from the packets after the last key frame.

    The container's own duration is no substitute: its sound may go on for longer.
    """
    import av

    last = 0
    for tick in (1 << 40, 0):  # far behind any end; where that finds nothing, all packets
        try:
            container.seek(tick, stream=stream)
        except av.error.FFmpegError:
            continue
        times = [(p.pts or p.dts or 0) + (p.duration or 0) for p in container.demux(stream)]
        last = max(times, default=0)
        if last:
            break
    container.seek(stream.start_time or 0, stream=stream)
    return float(last * stream.time_base)


def _reason(error: Exception) -> str:
    import av

    match error:
        case av.error.InvalidDataError():
            return "damaged, or not a video: FFmpeg finds invalid data"
        case MemoryError():
            return "too large for this machine's memory"
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"damaged: {words}"
