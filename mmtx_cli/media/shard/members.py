"""Members of a tar file of unknown origin, read header by header with limits.

The standard library parses the headers (ustar, GNU long names, PAX). It trusts their sizes, so it
reads through ``_Headers``, which bounds every read, and each member is compared with the file.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import open_file
from mmtx_cli.media.shard.reference import name_fault

BLOCK = 512
MAX_HEADER = 1 << 20
"""Largest extended header in bytes: it holds names, which are a few hundred bytes long."""
MAX_MEMBERS = 10_000_000
_EXTENSIONS = (b"x", b"g", b"L", b"K", b"X")


@dataclass(frozen=True)
class Member:
    """A regular file in a tar: its name, and where its content begins and how long it is."""

    name: str
    offset: int
    size: int


class ShardError(UnreadableError):
    """A shard cannot be used; the reason names the member, if one is the cause."""


class _Headers:
    """The file object that ``tarfile`` reads headers from; a read of any other size is refused."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise ValueError(f"a header of {size:,} bytes")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


def members_of(path: str, refused: list[str] | None = None) -> Iterator[Member]:
    """Yield the regular files in a tar, in order, without reading their contents.

    Folders are skipped. Links, devices, sparse files and names that are not plain relative paths
    are refused: with ``refused``, a line for each is appended to it; else they raise.

    Raises:
        ShardError: if the file is not a tar, is truncated, or its headers contradict each other:
            negative sizes, members beyond the end, or overlapping members.
    """
    with open_file(path) as raw:
        size = os.fstat(raw.fileno()).st_size
        try:
            yield from _members(path, raw, size, refused)
        except UnreadableError:
            raise
        # the parser may raise anything on hostile headers, including RecursionError
        except Exception as error:
            raise ShardError(path, f"not a tar file, or damaged: {error}") from error


def _members(path: str, raw: BinaryIO, size: int, refused: list[str] | None) -> Iterator[Member]:
    end, number = 0, 0
    with tarfile.open(fileobj=_Headers(raw), mode="r:", errorlevel=2) as tar:  # type: ignore[call-overload]
        while (header := tar.next()) is not None:
            tar.members = []  # the archive object would keep every header
            number += 1
            fault = _fault(header)
            if header.size < 0 or header.offset < end or header.offset_data < header.offset:
                raise ShardError(path, f"member {header.name!r}: overlaps others: invalid header")
            end = header.offset_data + (header.size if header.isreg() else 0)
            if end > size:
                raise ShardError(
                    path,
                    f"member {header.name!r}: truncated: ends at byte {end:,} of {size:,}",
                )
            if number > MAX_MEMBERS:
                raise ShardError(path, f"more than {MAX_MEMBERS:,} members")
            if fault and refused is not None:
                refused.append(f"{path}: member {header.name!r}: {fault}")
            elif fault:
                raise ShardError(path, f"member {header.name!r}: {fault}")
            elif not header.isdir():
                yield Member(header.name, header.offset_data, header.size)
        _check_end(path, raw, tar.offset, size)


def _check_end(path: str, raw: BinaryIO, offset: int, size: int) -> None:
    """Check that the tar ends with a block of zeros, as a truncated one does not.

    A file of whole members without this mark is accepted if nothing follows: ``cat`` and some
    writers leave it out.
    """
    raw.seek(min(offset, size))
    rest = raw.read(BLOCK)
    if rest.strip(b"\0"):
        raise ShardError(path, f"damaged: no valid header at byte {offset:,}")
    if size == 0 or (rest and len(rest) < BLOCK):
        raise ShardError(path, f"truncated: ends within a header at byte {size:,}")


def _fault(header: tarfile.TarInfo) -> str | None:
    """Return why a member is refused."""
    if header.isdir():
        return None
    if header.issym() or header.islnk():
        return "a link, which may lead anywhere"
    if not header.isreg() or header.sparse is not None:
        return "not a regular file"
    return name_fault(header.name)
