"""Frames by PyAV: of the packets found, only what the wanted frames need is decoded."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.transform import fit, to_tensor
from mmtx_cli.media.video.packets import Packet, find_packets
from mmtx_cli.media.video.probe import Source, opened
from mmtx_cli.media.video.scaling import scaled_size

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

TOLERANCE = 1e-6
"""Seconds by which a moment may miss a frame's beginning, through rounding, and still mean it."""

LATE = 32
"""Packets behind a frame's own after which it has been shown: no codec reorders more than 16."""

Found = dict[int, UInt8[Tensor, "3 s s"]]
"""Finished frames by their presentation times."""


def pyav_frames(
    path: str, choose: Callable[[float, float, float | None], list[float]], size: int, how: str
) -> tuple[UInt8[Tensor, "t 3 {size} {size}"], list[float]]:
    """Decode the frames shown at the moments that ``choose`` names, each once, in order.

    ``choose`` takes when the video starts and ends, in seconds from the beginning of the file, and
    its frame rate. Returns the frames, and when each is shown.

    Raises:
        UnreadableError: if the file cannot be decoded.
    """
    with opened(path) as source:
        origin = source.origin
        seconds = choose(source.start - origin, source.end - origin, source.fps)
        ticks = [math.floor((moment + origin + TOLERANCE) / source.base) for moment in seconds]
        upright = Upright(size, how)
        # what FFmpeg gives as AVI's presentation times is a guess that knows of no reordering
        timed = source.container.format.name != "avi"
        found = (_timed if timed else _untimed)(source, ticks, upright)
        times = sorted(found)
        seconds = [float(time * source.base) - origin for time in times]
        return torch.stack([found[time] for time in times]), seconds


def _timed(source: Source, ticks: Sequence[int], upright: "Upright") -> Found:
    groups, wanted = find_packets(source, ticks)
    found: Found = {}
    for group in groups:
        packets = group.decodable(wanted)
        own = {packet.pts for packet in group.packets if packet.pts in wanted}
        for frame in _decoded(source, packets, own):
            if frame.pts is not None and frame.pts in own:
                found[frame.pts] = upright(frame)
        missing = own - found.keys()
        if missing:
            # packets that are never shown (VP8), or one of the two that make a frame
            before = group.before.packets if group.before else []
            found |= _instead(_decoded(source, before + group.packets), missing, upright)
    if not found:
        raise UnreadableError(source.path, "no frame can be decoded")
    return found


def _decoded(
    source: Source, packets: Iterable[Packet], wanted: set[int] | None = None
) -> "Iterator[VideoFrame]":
    """Frames in order of presentation; with ``wanted``, those that no frame needs may lack."""
    context = source.stream.codec_context
    for packet in packets:
        # a key frame is always needed; and the decoder of AV1 keeps to what its first packet finds
        spare = wanted is not None and packet.pts not in wanted and not packet.is_keyframe
        context.skip_frame = "NONREF" if spare else "DEFAULT"
        yield from context.decode(packet)
    yield from context.decode(None)
    context.flush_buffers()


def _instead(frames: "Iterator[VideoFrame]", missing: set[int], upright: "Upright") -> Found:
    """For each missing one the last frame shown before it; if there is none, the first of all."""
    shown: dict[int, VideoFrame] = {}
    for frame in frames:
        if frame.pts is not None:
            shown |= {time: frame for time in missing if frame.pts <= time or time not in shown}
    return {int(frame.pts or 0): upright(frame) for frame in shown.values()}


def _untimed(source: Source, ticks: Sequence[int], upright: "Upright") -> Found:
    """Decode from the first packet on: the n-th frame gets the n-th of the decoding times."""
    packets = [packet for packet in source.container.demux(source.stream) if packet.size]
    times = sorted(packet.dts for packet in packets if packet.dts is not None)
    if len(times) < len(packets) or not times:
        raise UnreadableError(source.path, "frames without times")
    places = {max(0, bisect_right(times, tick) - 1) for tick in ticks}
    needed = packets[: max(places) + LATE]
    found: Found = {}
    for place, frame in enumerate(_decoded(source, needed)):
        if place in places:
            found[times[place]] = upright(frame)
    if not found:
        raise UnreadableError(source.path, "no frame can be decoded")
    return found


class Upright:
    """Brings frames upright, to RGB and to size x size, as ``fit`` does with pictures."""

    def __init__(self, size: int, how: str) -> None:
        self.size, self.how = size, how
        self.graphs: dict[tuple[int, int, str], Graph] = {}

    def __call__(self, frame: "VideoFrame") -> UInt8[Tensor, "3 {self.size} {self.size}"]:
        """Convert one frame; ``rotation`` is in degrees, counter-clockwise."""
        turns = round(frame.rotation / 90) % 4
        # the same size whether upright or lying: the shorter side is the shorter side
        graph = self.graph(frame.width, frame.height, frame.format.name)
        graph.push(frame)
        pixels = np.rot90(graph.pull().to_ndarray(), turns)
        picture = to_tensor(np.ascontiguousarray(pixels))
        return fit(picture, self.size, self.how).clone(memory_format=torch.contiguous_format)

    def graph(self, width: int, height: int, name: str) -> "Graph":
        """FFmpeg's filters for frames of one size and format, kept for the next frame."""
        key = width, height, name
        if key not in self.graphs:
            from av.filter import Graph
            from av.video.format import VideoFormat

            scaled = scaled_size(height, width, self.size, self.how)
            shape = "" if scaled is None else f"{scaled[1]}:{scaled[0]}:"
            # unscaled, FFmpeg's own choice is what torchcodec takes; planes scale finer and faster
            flags, form = ("bicubic", "rgb24") if scaled is None else ("bilinear", "gbrp")
            graph = Graph()
            if hasattr(graph, "threads"):  # PyAV 18
                graph.threads = 1  # workers are as many as cores; starting threads takes longest
            source = graph.add_buffer(
                width=width,
                height=height,
                format=VideoFormat(name),
                time_base=Fraction(1),  # times count for nothing here
            )
            steps = [source, graph.add("scale", f"{shape}flags={flags}"), graph.add("format", form)]
            graph.link_nodes(*steps, graph.add("buffersink")).configure()
            self.graphs[key] = graph
        return self.graphs[key]
