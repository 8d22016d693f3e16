"""Decode frames with torchcodec where it is exact; all other files are left to PyAV."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import UInt8
from torch import Tensor

from mmtx_cli.media.container import open_container
from mmtx_cli.media.regular_file import check_regular, open_regular
from mmtx_cli.media.shard.reference import is_reference
from mmtx_cli.media.transform import fit
from mmtx_cli.media.video.probe import MAX_PIXELS, MAX_SECONDS, MAX_SIDE

if TYPE_CHECKING:
    from torchcodec.decoders import VideoDecoder, VideoStreamMetadata

MAX_BYTES = 32 << 20
"""File size above which seeking with PyAV is cheaper than torchcodec's reading of all packets."""
MAX_BATCH = 64 << 20
"""Maximum bytes of full-size frames in memory at a time."""
COVERS = ("mjpeg", "png", "bmp", "gif", "webp", "tiff")
TOLERANCE = 1e-6


def torchcodec_frames(
    path: str,
    container: str,
    choose: Callable[[float, float, float | None], list[float]],
    size: int,
    how: str,
) -> tuple[UInt8[Tensor, "t 3 {size} {size}"], list[float]] | None:
    """Decode as ``pyav_frames`` does, or return None to leave the file and its errors to PyAV.

    Only MP4 and Matroska are read: in MPEG streams torchcodec lands after the requested time
    (FFmpeg ticket 11137), and AVI has no presentation times. The exact seek mode finds frames of
    variable-rate videos; it reads every packet once, which is too slow for huge files.

    Args:
        path: Video file.
        container: Kind of container, as returned by ``check_whole``.
        choose: Returns the times of the frames, as for ``pyav_frames``.
        size: Side of the square frames in pixels.
        how: "crop", "pad" or "squash", as in ``fit``.
    """
    if container not in ("mp4", "matroska") or check_regular(path) > MAX_BYTES:
        return None
    from torchcodec.decoders import VideoDecoder

    try:
        source = _source(path)
        decoder = VideoDecoder(
            source, device="cpu", seek_mode="exact", num_ffmpeg_threads=1, dimension_order="NCHW"
        )
    except (RuntimeError, ValueError):
        return None  # PyAV reports the reason
    span = _span(decoder.metadata)
    if span is None:
        return None
    origin = _origin(path)
    seconds = choose(span[0] - origin, span[1] - origin, decoder.metadata.average_fps_from_header)
    times = [
        min(max(second + origin, span[0]) + TOLERANCE, span[1] - TOLERANCE) for second in seconds
    ]
    try:
        found = _frames(decoder, times, size, how)
    except (RuntimeError, ValueError, IndexError):
        return None
    return None if found is None else (found[0], [time - origin for time in found[1]])


def _source(path: str) -> str | bytes:
    """Return the path, or the content of a member of a tar shard."""
    if not is_reference(path):
        return path
    with open_regular(path) as file:
        return file.read()


def _origin(path: str) -> float:
    """Return the presentation time at which the file begins, which torchcodec does not provide."""
    import av

    with open_container(path) as container:
        return (container.start_time or 0) / av.time_base


def _span(facts: "VideoStreamMetadata") -> tuple[float, float] | None:
    """Return the start and end of the video; None if implausible, or header and packets differ."""
    start, end = facts.begin_stream_seconds, facts.end_stream_seconds
    width, height = facts.width or 0, facts.height or 0
    if facts.codec in COVERS or start is None or end is None:
        return None
    if min(width, height) < 1 or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        return None
    if not 0 < end - start <= MAX_SECONDS:
        return None
    if facts.num_frames_from_header not in (None, facts.num_frames_from_content):
        return None
    return start, end


def _frames(
    decoder: "VideoDecoder", requested: list[float], size: int, how: str
) -> tuple[UInt8[Tensor, "t 3 {size} {size}"], list[float]] | None:
    """Return the frames shown at ascending times, each once; None if any is shown later."""
    pixels = (decoder.metadata.width or 1) * (decoder.metadata.height or 1)
    count = max(1, MAX_BATCH // (3 * pixels))
    parts: list[Tensor] = []
    found: list[float] = []
    for i in range(0, len(requested), count):
        batch = decoder.get_frames_played_at(requested[i : i + count])
        times = batch.pts_seconds.tolist()
        if any(time > target for time, target in zip(times, requested[i:], strict=False)):
            return None
        new = [j for j, time in enumerate(times) if time not in found + times[:j]]
        if new:  # copied, so that the full-size frames are freed
            frames = batch.data if len(new) == len(times) else batch.data[new]
            parts.append(fit(frames, size, how).clone())
            found += [times[j] for j in new]
    return parts[0] if len(parts) == 1 else torch.cat(parts), found
