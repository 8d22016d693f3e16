"""Writing of tar shards: the same members give the same bytes, whenever and wherever."""

import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.media.regular_file import open_regular
from mmtx_cli.media.shard.index import IndexPart, ShardFacts, index_part
from mmtx_cli.media.shard.members import BLOCK, Member

SUFFIX = ".tar"
_PART = 1 << 20


@dataclass(frozen=True)
class Source:
    """The content of a member: bytes, or a media path and the size that its file had."""

    content: bytes | str
    size: int

    @contextmanager
    def parts(self) -> Iterator[Iterator[bytes]]:
        """Open the content and yield an iterator over its parts.

        Raises:
            UnreadableError: if the file cannot be read.
            DataError: if it has another size now.
        """
        if isinstance(self.content, bytes):
            yield iter([self.content])
            return
        with open_regular(self.content) as file:
            yield self._read(self.content, file)

    def _read(self, path: str, file: BinaryIO) -> Iterator[bytes]:
        left = self.size
        while part := file.read(min(_PART, left + 1)):
            left -= len(part)
            if left < 0:
                break
            yield part
        if left:
            raise DataError(f"{path}: changed while it was packed; run the command again")


def of_bytes(content: bytes) -> Source:
    """Return content in memory."""
    return Source(content, len(content))


class _Hashed:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.size = file, blake2b(digest_size=16), 0

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.size += len(data)

    def pad(self, block: int) -> None:
        self.write(bytes(-self.size % block))


def write_tar(path: Path, entries: Iterable[tuple[str, Source]], plan: str = "") -> IndexPart:
    """Write a shard atomically, and return its entries for the index.

    Args:
        path: The shard.
        entries: Name and content of each member, in order.
        plan: Digest of what the shard is made from.

    Raises:
        DataError, UnreadableError: if the content of a member cannot be read.
    """
    members: list[Member] = []
    crcs: list[int] = []
    with atomic_write(path) as temporary:
        with temporary.open("wb") as raw:
            file = _Hashed(raw)
            for name, source in entries:
                offset, crc = _write_member(file, name, source)
                members.append(Member(name, offset, source.size))
                crcs.append(crc)
            file.write(bytes(2 * BLOCK))
            file.pad(tarfile.RECORDSIZE)
        digest = file.digest.hexdigest()
        facts = ShardFacts(path.name, file.size, len(members), digest, 0, plan)
    return index_part(facts, members, crcs)


def _write_member(file: _Hashed, name: str, source: Source) -> tuple[int, int]:
    """Write header and content; return the offset of the content and its CRC-32."""
    header = tarfile.TarInfo(name)  # time 0, user 0, mode 0644
    header.size = source.size
    file.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    offset, crc = file.size, 0
    with source.parts() as parts:
        for part in parts:
            crc = zlib.crc32(part, crc)
            file.write(part)
    file.pad(BLOCK)
    return offset, crc


def tar_size(sizes: Iterable[int]) -> int:
    """Return about how many bytes members of these sizes take in a tar."""
    return sum(BLOCK + size + -size % BLOCK for size in sizes)


def shard_name(number: int) -> str:
    """Return the file name of a shard, as in ``000000.tar``."""
    return f"{number:06d}{SUFFIX}"


def shards_in(folder: Path) -> list[str]:
    """Return the file names of the shards in a folder, sorted."""
    return sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX) and name[0] != ".")
