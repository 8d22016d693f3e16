"""Open media files, or members of tar shards, without blocking on pipes or devices."""

import errno
import os
from io import BufferedReader, FileIO, RawIOBase
from typing import IO, Any

from mmtx_cli.io.untrusted.bounded_file import kind_of
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.shard.reference import is_reference


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file, or a member of a tar shard, that is not empty.

    Raises:
        UnreadableError: if the file is missing, unreadable, empty, or not a regular file (a
            folder, named pipe, socket or device); for a member, also if it is not in the shard or
            the shard is not as it was indexed.
    """
    return BufferedReader(open_raw(path))


def open_raw(path: str | os.PathLike[str]) -> RawIOBase:
    """Open a file as ``open_regular`` does, without a buffer."""
    path = os.fspath(path)
    if is_reference(path):
        # members are opened through this module's open_file
        from mmtx_cli.media.shard.member_file import open_member

        return open_member(path)
    return open_file(path)


def open_file(path: str) -> FileIO:
    """Open a regular file that is not empty, without a buffer or blocking on anything else."""
    try:
        # neither wait for the writer of a pipe nor acquire a controlling terminal
        descriptor = os.open(path, os.O_RDONLY | _flag("O_NONBLOCK") | _flag("O_NOCTTY"))
    except OSError as error:
        raise UnreadableError(path, _reason(path, error)) from error
    try:
        status = os.fstat(descriptor)
        if (kind := kind_of(status.st_mode)) is not None:
            raise UnreadableError(path, f"{kind}, not a regular file")
        if status.st_size == 0:
            raise UnreadableError(path, "empty file")
        return FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: str | os.PathLike[str]) -> int:
    """Return the size in bytes of a file, or of a member of a tar shard.

    Raises:
        UnreadableError: as ``open_regular`` does.
    """
    with open_raw(path) as file:
        return size_of(file)


def size_of(file: IO[bytes] | RawIOBase | Any) -> int:
    """Return the size in bytes of an open file, which stays where it is."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(position)
    return size


def _flag(name: str) -> int:
    return getattr(os, name, 0)


def _reason(path: str, error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "file not found"
        case PermissionError():
            return "permission denied"
    if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # sockets and devices cannot be opened
        return f"{kind_of(os.stat(path).st_mode) or 'a device'}, not a regular file"
    return error.strerror or str(error)
