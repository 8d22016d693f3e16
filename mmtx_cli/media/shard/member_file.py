"""Members of tar shards as files: found in the index and read without parsing the tar."""

import io
import os
import threading
import zlib
from collections import OrderedDict
from functools import lru_cache
from typing import Any

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import open_file
from mmtx_cli.media.shard.index import INDEX, REMEDY, Place, ShardFacts, ShardIndex
from mmtx_cli.media.shard.members import ShardError
from mmtx_cli.media.shard.reference import split_reference
from mmtx_cli.media.shard.remote import is_remote, make_local

MAX_OPEN = 32
"""Shards that a process keeps open; others are reopened when they are read."""
CHECKED_BYTES = 64 << 20
"""Largest member that is compared with its checksum whenever it is read to its end."""
RETRIES = 5
_PART = 1 << 20


class Shard:
    """An open shard; closed when nothing refers to it any more."""

    def __init__(self, path: str, facts: ShardFacts) -> None:
        """Open the file and compare it with the index.

        Raises:
            ShardError: if it is not as it was indexed.
            UnreadableError: if it cannot be opened.
        """
        self.path = path
        self.descriptor = _descriptor(path, facts)
        status = os.fstat(self.descriptor)
        changed = f"the shard has changed since it was indexed; {REMEDY}"
        if status.st_size != facts.bytes:
            sizes = f"{status.st_size:,} bytes, {facts.bytes:,} in {INDEX}"
            raise ShardError(path, f"{changed} ({sizes})")
        # the time of a fetched file is when it was last used
        if not facts.digest and status.st_mtime_ns != facts.mtime_ns and not is_remote(path):
            raise ShardError(path, f"{changed} (another modification time)")

    def __del__(self) -> None:
        if getattr(self, "descriptor", -1) >= 0:
            os.close(self.descriptor)


def _descriptor(path: str, facts: ShardFacts) -> int:
    for attempt in range(RETRIES):
        make_local(path, facts)
        try:
            with open_file(path) as file:
                return os.dup(file.fileno())
        except UnreadableError:
            # another process may have removed it to make room
            if attempt == RETRIES - 1 or os.path.lexists(path) or not is_remote(path):
                raise
    raise AssertionError("unreachable")


class _Open:
    """The shards that this process has open, least recently used first."""

    def __init__(self) -> None:
        self.shards: OrderedDict[str, Shard] = OrderedDict()
        self.lock = threading.Lock()
        os.register_at_fork(after_in_child=self.disown)

    def disown(self) -> None:
        """Forget the parent's descriptors: a decoding process closes them, and reuses numbers."""
        for shard in self.shards.values():
            shard.descriptor = -1
        self.shards, self.lock = OrderedDict(), threading.Lock()

    def get(self, path: str, facts: ShardFacts) -> Shard:
        with self.lock:
            shard = self.shards.get(path)
            if shard is None:
                shard = self.shards[path] = Shard(path, facts)
                while len(self.shards) > MAX_OPEN:
                    self.shards.popitem(last=False)
            self.shards.move_to_end(path)
            return shard


_open = _Open()


@lru_cache(maxsize=16)
def index_of(folder: str) -> ShardIndex:
    """Return the index of a folder, opened once per process.

    Raises:
        ShardError: as ``ShardIndex`` does.
    """
    return ShardIndex(folder)


def forget_shards() -> None:
    """Close all shards and indexes, since their files were replaced."""
    with _open.lock:
        _open.shards.clear()
    index_of.cache_clear()


def place_of(reference: str) -> tuple[str, ShardFacts, Place]:
    """Return the path of a member's shard, what is known of the shard, and the member's place.

    Raises:
        ShardError: if the index has no such member.
    """
    parts = split_reference(reference)
    assert parts is not None, reference
    folder, name = os.path.split(parts[0])
    index = index_of(folder)
    return parts[0], index.facts(name), index.find(name, parts[1])


def open_member(reference: str) -> "MemberFile":
    """Open a member of a tar shard.

    Raises:
        UnreadableError: naming shard and member, if the shard cannot be opened, has changed since
            it was indexed, or has no such member, or the member is empty.
    """
    try:
        path, facts, place = place_of(reference)
        shard = _open.get(path, facts)
    except UnreadableError as error:
        # the caller knows the member; a fault of the shard is named in the reason
        shard_path = "" if error.path in reference else f" ({error.path})"
        raise UnreadableError(reference, error.reason + shard_path) from error
    if place.size == 0:
        raise UnreadableError(reference, "empty file")
    return MemberFile(reference, shard, place)


class MemberFile(io.RawIOBase):
    """A member as a read-only file; once read to its end, it is compared with its checksum."""

    def __init__(self, reference: str, shard: Shard, place: Place) -> None:
        self.reference, self.shard, self.place = reference, shard, place
        self.name, self.mode = reference, "rb"  # as those of a file have
        self.position = 0
        self.checked, self.crc = 0, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position within the member."""
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position within the member, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.place.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self.position = base + offset
        return self.position

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; raise UnreadableError if the shard ends too early."""
        count = min(len(buffer), max(0, self.place.size - self.position))
        view = memoryview(buffer).cast("B")[:count]
        done = 0
        while done < count:
            at = self.place.offset + self.position + done
            read = os.preadv(self.shard.descriptor, [view[done:]], at)
            if not read:
                reason = f"truncated: the shard ends at byte {at:,}"
                raise UnreadableError(self.reference, reason)
            done += read
        self._check(view)
        self.position += count
        return count

    def readall(self) -> bytes:
        """Read from the position to the end of the member."""
        data = bytearray(max(0, self.place.size - self.position))
        self.readinto(memoryview(data))
        return bytes(data)

    def _check(self, data: memoryview) -> None:
        """Continue the checksum if the data follow what was read before."""
        place, new = self.place, self.checked - self.position
        if place.crc is None or place.size > CHECKED_BYTES or not 0 <= new < len(data):
            return
        self.crc = zlib.crc32(data[new:], self.crc)
        self.checked += len(data) - new
        if self.checked == place.size and self.crc != place.crc:
            raise UnreadableError(
                self.reference,
                f"its checksum differs from that in {INDEX}: the shard is damaged, or has changed",
            )


def check_member(path: str, whole: bool = False) -> None:
    """Compare a member with its checksum, for a decoder that reads only parts of it.

    Does nothing for an ordinary file, and unless ``whole`` for a member that is too large to read
    in full each time.

    Raises:
        UnreadableError: if it differs, or cannot be read.
    """
    if split_reference(path) is None:
        return
    with open_member(path) as file:
        place = file.place
        if place.crc is None or (place.size > CHECKED_BYTES and not whole):
            return
        crc = 0
        buffer = memoryview(bytearray(min(_PART, place.size)))
        while count := file.readinto(buffer):
            crc = zlib.crc32(buffer[:count], crc)
        if crc != place.crc:
            raise UnreadableError(path, f"its checksum differs from that in {INDEX}")


def ffmpeg_url(reference: str) -> str:
    """Return the URL by which FFmpeg reads a member as a file of its own.

    Raises:
        UnreadableError: as ``open_member`` does.
    """
    with open_member(reference) as file:
        begin, end = file.place.offset, file.place.offset + file.place.size
        return f"subfile,,start,{begin},end,{end},,:{os.path.abspath(file.shard.path)}"
