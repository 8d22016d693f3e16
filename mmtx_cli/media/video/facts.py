"""What the header of a video declares."""

import os
from dataclasses import dataclass

from mmtx_cli.media.integrity import check_whole
from mmtx_cli.media.video.probe import open_video
from mmtx_cli.media.worker.serialization import record

_ROTATABLE = ("mov", "matroska")
"""Containers that can declare a rotation; in others the stream's own width and height apply."""


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
