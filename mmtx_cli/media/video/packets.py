"""Find the packets of a video that are needed to decode the frames at given times."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.video.probe import INDEXED, Source

Packet = Any
"""A PyAV packet; ``pts`` and ``dts`` are its presentation and decoding times."""
SEEK = 2.0
"""Seconds to the next requested time from which on seeking is cheaper than reading on."""
REORDER = 3
"""Number of recent groups that may contain frames shown before the last packet read."""


@dataclass
class Group:
    """A group of pictures: a key frame and the packets up to the next one, in decoding order.

    ``before`` is the previous group in the file: frames that are stored after the key frame but
    shown before it (an open GOP) are decoded from there.
    """

    packets: list[Packet]
    before: "Group | None" = None

    def decodable(self, requested: set[int]) -> list[Packet]:
        """Return the packets to decode, in order, to obtain the wanted frames of this group."""
        indices = [i for i, packet in enumerate(self.packets) if packet.pts in requested]
        if not indices:
            return []
        packets = self.packets[: indices[-1] + 1]
        key = self.packets[0].pts
        leads = any(self.packets[i].pts < key for i in indices)
        return self.before.packets + packets if leads and self.before else packets


def find_packets(source: Source, ticks: Sequence[int]) -> tuple[list[Group], set[int]]:
    """Find, for each tick, the last frame that begins at or before it, else the first frame.

    ``ticks`` are ascending, in units of the stream's time base. Returns the groups that contain the
    frames, in order, and the frames' presentation times. Nothing is decoded. Packets are read
    sequentially; in files with an index, by seeking to the key frame before a distant tick.

    Raises:
        UnreadableError: if packets have no presentation time, or the index is damaged.
    """
    reader = _Reader(source)
    for tick in ticks:
        reader.read_to(tick)
        reader.want(tick)
    for group in list(reader.groups):
        reader.settle(group)
    return reader.groups, reader.wanted


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.groups: list[Group] = []
        self.wanted: set[int] = set()
        indexed = source.container.format.name.startswith(INDEXED)
        self.ahead = math.ceil(SEEK / source.base) if indexed else math.inf
        self.packets: Iterator[Packet] = source.container.demux(source.stream)
        self.at: float = -math.inf  # decoding time of the last packet read
        packet = self.next()
        if packet is not None:
            self.groups.append(Group([packet]))

    def next(self) -> Packet:
        """Return the next packet; None at the end."""
        packet = next(self.packets, None)
        if packet is None or not packet.size:  # PyAV's last packet is empty
            self.at = math.inf
            return None
        if packet.pts is None:
            raise UnreadableError(self.source.path, "frames without presentation timestamps")
        if packet.dts is not None:  # unknown for the first packets after a seek
            self.at = packet.dts
        return packet

    def read_to(self, tick: int) -> None:
        """Read until no further packet is shown at or before ``tick``."""
        if tick - self.at > self.ahead:
            self.seek(tick)
        while self.at <= tick:
            packet = self.next()
            if packet is None:
                return
            if packet.is_keyframe:
                self.groups.append(Group([packet], self.groups[-1]))
                if len(self.groups) > REORDER:
                    self.settle(self.groups[-REORDER - 1])
            else:
                self.groups[-1].packets.append(packet)

    def seek(self, tick: int) -> None:
        """Continue at a key frame shown at or before ``tick``, the last one if it is found."""
        container, stream = self.source.container, self.source.stream
        # MP4 seeks by decoding time: the key frame found may be shown after the tick
        for target in (tick, tick - int(self.ahead), self.groups[0].packets[0].pts):
            container.seek(target, stream=stream)
            self.packets = container.demux(stream)
            self.at = -math.inf
            packet = self.next()
            while packet is not None and not packet.is_keyframe:
                packet = self.next()
            if packet is not None and packet.pts <= tick:
                self.again(packet)
                return
        raise UnreadableError(self.source.path, "damaged: its index is invalid")

    def again(self, key: Packet) -> None:
        """Discard what was read from this key frame on, as it will be read again."""
        group = Group([key])
        while self.groups and self.groups[-1].packets[0].pts >= key.pts:
            last = self.groups.pop()
            group.before = last.before if last.packets[0].pts == key.pts else None
        self.groups.append(group)

    def want(self, tick: int) -> None:
        """Record which frame is shown at ``tick``."""
        times = [packet.pts for group in self.groups[-REORDER:] for packet in group.packets]
        if times:
            self.wanted.add(max((time for time in times if time <= tick), default=min(times)))

    def settle(self, group: Group) -> None:
        """Drop the packets that no wanted frame needs; no further frame of the group is wanted."""
        packets = group.decodable(self.wanted)
        if not packets:
            self.groups.remove(group)
        if not packets or packets[0] is group.packets[0]:
            group.before = None
