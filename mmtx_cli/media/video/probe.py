"""Open videos with PyAV and reject those with implausible headers."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from mmtx_cli.media.container import PICTURES, open_container
from mmtx_cli.media.errors import OUT_OF_MEMORY, NoVideoError, UnreadableError
from mmtx_cli.media.regular_file import open_regular

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

INDEXED = ("mov", "matroska")
"""Containers with an index of their key frames. In others FFmpeg searches the file for a time, and
may land after it (FFmpeg ticket 11137)."""
MAX_SIDE = 16384
MAX_PIXELS = 178_956_970  # Pillow's limit for images: 512 MiB as RGB
MAX_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Source:
    """An open file, its video stream, and the stream's start and end in presentation time.

    ``base`` is the stream's time base in seconds; ``start`` and ``end`` are in seconds. ``origin``
    is the time at which the file begins, audio included: the timestamps of MPEG streams, recordings
    and stream-copied excerpts do not begin at 0.
    """

    path: str
    container: "InputContainer"
    stream: "VideoStream"
    base: Fraction
    start: float
    end: float
    origin: float

    @property
    def fps(self) -> float | None:
        """Average number of frames per second; None if the header does not declare it."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate else None


@contextmanager
def open_video(path: str) -> Iterator[Source]:
    """Open the video stream that FFmpeg selects; its decoder runs in this thread only.

    Raises:
        UnreadableError: in place of any FFmpeg error, including those raised in the body.
    """
    import av

    try:
        with _container(path) as container:
            stream = _video_stream(path, container)
            # there is a worker per core: decoder threads would add a fifth to the work of each
            stream.codec_context.thread_count = 1
            check_dimensions(path, stream.codec_context.width, stream.codec_context.height)
            base = stream.time_base or Fraction(1, 1_000_000)
            start = float((stream.start_time or 0) * base)
            end = _end(path, container, stream, base)
            check_duration(path, end - start)
            origin = (container.start_time or 0) / av.time_base
            if container.start_time is None or abs(start - origin) < 2 / av.time_base:
                origin = start  # not rounded to microseconds, unlike container.start_time
            yield Source(path, container, stream, base, start, end, origin)
    except UnreadableError:
        raise
    except (av.error.FFmpegError, OSError, UnicodeError, OverflowError, MemoryError) as error:
        raise UnreadableError(path, _reason(error)) from error


def _container(path: str) -> "InputContainer":
    import av

    try:
        return open_container(path, also=PICTURES)
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:
        raise UnreadableError(
            path, "not a video of a known format, or its header is damaged"
        ) from error


def _video_stream(path: str, container: "InputContainer") -> "VideoStream":
    from av.stream import Disposition
    from av.video.stream import VideoStream

    name = container.format.name
    if name == "webp_pipe" and animated_webp(path):
        raise UnreadableError(path, "an animated WebP, which FFmpeg does not support: convert it")
    if name == "image2" or name.endswith("_pipe"):
        raise UnreadableError(path, "an image, not a video")
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise NoVideoError(path, "no video stream")
    if Disposition.attached_pic in stream.disposition:
        raise NoVideoError(path, "no video stream, only a cover image")
    if stream.codec_context is None:
        raise UnreadableError(path, "no decoder for its video stream")
    return stream


def animated_webp(path: str) -> bool:
    """Return True if the header declares an animation (RFC 9649, section 2.7)."""
    with open_regular(path) as file:
        head = file.read(21)
    return head[12:16] == b"VP8X" and bool(head[20] & 2)


def check_dimensions(path: str, width: int | None, height: int | None) -> None:
    """Raise UnreadableError for missing or implausible dimensions."""
    if not width or not height or min(width, height) < 0:
        raise UnreadableError(path, "its header has no width and height")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UnreadableError(
            path,
            f"implausible dimensions: {width} x {height}; at most {MAX_SIDE:,} per side "
            f"and {MAX_PIXELS:,} pixels",
        )


def check_duration(path: str, seconds: float) -> None:
    """Raise UnreadableError for an implausible duration."""
    if not (math.isfinite(seconds) and 0 <= seconds <= MAX_SECONDS):
        raise UnreadableError(path, f"implausible duration: {seconds:g} s; at most 7 days")


def _end(path: str, container: "InputContainer", stream: "VideoStream", base: Fraction) -> float:
    """Return the end of the last frame in seconds, from the packets after the last key frame.

    The header is not trusted: it may be based on decoding times (MP4) or include audio (Matroska),
    or FFmpeg may have to guess (MPEG, where all packets are read because FFmpeg also miscounts
    after a seek). AVI headers count the frames, which have no timestamps.
    """
    if container.format.name == "avi" and stream.duration:
        return float(((stream.start_time or 0) + stream.duration) * base)
    last = None
    if container.format.name.startswith(INDEXED):
        last = _last_tick(container, stream.index, math.ceil(MAX_SECONDS / base))
        container.seek(stream.start_time or 0, stream=stream)
    if last is None:
        with _container(path) as reopened:
            last = _last_tick(reopened, stream.index)
    if last is None:
        raise UnreadableError(
            path, "frames without timestamps; put the raw stream into a container"
        )
    return float(last * base)


def _last_tick(container: "InputContainer", index: int, far: int | None = None) -> int | None:
    """Return the end of the frame shown last, from the last key frame before ``far`` on.

    Returns None if there is no frame. Packets are read, but not decoded.
    """
    import av

    stream = container.streams[index]
    try:
        if far is not None:
            container.seek(far, stream=stream)
    except av.error.FFmpegError:
        return None
    # MP4 durations are in decoding time: those of other frames may extend beyond the end
    times = ((p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None)
    last = max(times, default=None)
    return None if last is None else sum(last)


def _reason(error: Exception) -> str:
    import av

    match error:
        case av.error.InvalidDataError():
            return "damaged: its frames are invalid"
        case MemoryError():
            return OUT_OF_MEMORY
    message = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"damaged: {message}"
