"""Decode frames with PyAV, and only the packets that the wanted frames depend on."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.video.packets import Packet, find_packets
from mmtx_cli.media.video.probe import Source, open_video
from mmtx_cli.media.video.scaling import scaled_size

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

TOLERANCE = 1e-6
"""Rounding tolerance in seconds: a frame is shown from this much before its beginning."""

LATE = 32
"""Packets after its own by which a frame is output; no codec reorders more than 16."""

Fit = Callable[[UInt8[np.ndarray, "h w 3"], int, str], UInt8[np.ndarray, "3 s s"]]
"""Resizes pixels to a square of a size, in a way of ``media/geometry.py``."""

Found = dict[int, UInt8[np.ndarray, "3 s s"]]
"""Converted frames by presentation time."""


def pyav_frames(
    path: str,
    choose: Callable[[float, float, float | None], list[float]],
    size: int,
    how: str,
    fit: Fit,
) -> tuple[UInt8[np.ndarray, "t 3 {size} {size}"], list[float]]:
    """Decode the frames shown at the times that ``choose`` returns, each once, in order.

    Args:
        path: Video file.
        choose: Returns times, given the start and end of the video and its frame rate. All times
            are in seconds from the beginning of the file.
        size: Side of the square frames in pixels.
        how: "crop", "pad" or "squash".
        fit: Resizes frames.

    Returns:
        The frames, and the time at which each is shown.

    Raises:
        UnreadableError: if the file cannot be decoded.
    """
    with open_video(path) as source:
        origin = source.origin
        seconds = choose(source.start - origin, source.end - origin, source.fps)
        ticks = [math.floor((second + origin + TOLERANCE) / source.base) for second in seconds]
        upright = Upright(size, how, fit)
        # FFmpeg guesses the presentation times of AVI, ignoring frame reordering
        timed = source.container.format.name != "avi"
        found = (_timed if timed else _untimed)(source, ticks, upright)
        times = sorted(found)
        seconds = [float(time * source.base) - origin for time in times]
        return np.stack([found[time] for time in times]), seconds


def _timed(source: Source, ticks: Sequence[int], upright: "Upright") -> Found:
    groups, requested = find_packets(source, ticks)
    found: Found = {}
    for group in groups:
        packets = group.decodable(requested)
        group_times = {packet.pts for packet in group.packets if packet.pts in requested}
        for frame in _decoded(source, packets, group_times):
            if frame.pts is not None and frame.pts in group_times:
                found[frame.pts] = upright(frame)
        missing = group_times - found.keys()
        if missing:
            # packets that are never shown (VP8), or one of two that form a frame
            previous = group.before.packets if group.before else []
            found |= _fallback_frames(_decoded(source, previous + group.packets), missing, upright)
    if not found:
        raise UnreadableError(source.path, "no frame can be decoded")
    return found


def _decoded(
    source: Source, packets: Iterable[Packet], requested: set[int] | None = None
) -> "Iterator[VideoFrame]":
    """Yield frames in presentation order.

    Given the ``requested`` times, other non-reference frames may be skipped.
    """
    context = source.stream.codec_context
    for packet in packets:
        # key frames are always needed, and the AV1 decoder keeps the setting of its first packet
        skippable = requested is not None and packet.pts not in requested and not packet.is_keyframe
        context.skip_frame = "NONREF" if skippable else "DEFAULT"
        yield from context.decode(packet)
    yield from context.decode(None)
    context.flush_buffers()


def _fallback_frames(
    frames: "Iterator[VideoFrame]", missing: set[int], upright: "Upright"
) -> Found:
    """Return, for each missing time, the last frame shown before it, else the first of all."""
    latest: dict[int, VideoFrame] = {}
    for frame in frames:
        if frame.pts is not None:
            latest |= {time: frame for time in missing if frame.pts <= time or time not in latest}
    return {int(frame.pts or 0): upright(frame) for frame in latest.values()}


def _untimed(source: Source, ticks: Sequence[int], upright: "Upright") -> Found:
    """Decode from the first packet on; the n-th frame is shown at the n-th decoding time."""
    packets = [packet for packet in source.container.demux(source.stream) if packet.size]
    times = sorted(packet.dts for packet in packets if packet.dts is not None)
    if len(times) < len(packets) or not times:
        raise UnreadableError(source.path, "frames without timestamps")
    indices = {max(0, bisect_right(times, tick) - 1) for tick in ticks}
    needed = packets[: max(indices) + LATE]
    found: Found = {}
    for index, frame in enumerate(_decoded(source, needed)):
        if index in indices:
            found[times[index]] = upright(frame)
    if not found:
        raise UnreadableError(source.path, "no frame can be decoded")
    return found


class Upright:
    """Converts frames to upright RGB of size x size, as ``fit`` does with images."""

    def __init__(self, size: int, how: str, fit: Fit) -> None:
        self.size, self.how, self.fit = size, how, fit
        self.graphs: dict[tuple[int, int, str], Graph] = {}

    def __call__(self, frame: "VideoFrame") -> UInt8[np.ndarray, "3 {self.size} {self.size}"]:
        """Convert one frame; ``rotation`` is in degrees, counter-clockwise."""
        turns = round(frame.rotation / 90) % 4
        # scaled before rotation: the shorter side stays the shorter side
        graph = self.graph(frame.width, frame.height, frame.format.name)
        graph.push(frame)
        pixels = np.rot90(graph.pull().to_ndarray(), turns)
        return self.fit(np.ascontiguousarray(pixels), self.size, self.how)

    def graph(self, width: int, height: int, name: str) -> "Graph":
        """Return FFmpeg's filter graph for frames of one size and format, cached for reuse."""
        key = width, height, name
        if key not in self.graphs:
            from av.filter import Graph
            from av.video.format import VideoFormat

            scaled = scaled_size(height, width, self.size, self.how)
            shape = "" if scaled is None else f"{scaled[1]}:{scaled[0]}:"
            # unscaled: FFmpeg's default, as in torchcodec; scaled: planar RGB is finer and faster
            flags, form = ("bicubic", "rgb24") if scaled is None else ("bilinear", "gbrp")
            graph = Graph()
            if hasattr(graph, "threads"):  # PyAV 18
                graph.threads = 1  # there is a worker per core, and starting threads is slow
            source = graph.add_buffer(
                width=width,
                height=height,
                format=VideoFormat(name),
                time_base=Fraction(1),  # timestamps are not used
            )
            steps = [source, graph.add("scale", f"{shape}flags={flags}"), graph.add("format", form)]
            graph.link_nodes(*steps, graph.add("buffersink")).configure()
            self.graphs[key] = graph
        return self.graphs[key]
