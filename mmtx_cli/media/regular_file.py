"""Opening a media file that may be anything: a pipe or a device must not be waited for."""

import errno
import os
from io import BufferedReader

from mmtx_cli.io.untrusted_file import kind_of
from mmtx_cli.media.errors import UnreadableError


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file that is not empty; nothing else is waited for or read.

    Raises:
        UnreadableError: if it is missing, may not be read, is empty or something else: a folder,
            a named pipe, a socket, a device.
    """
    path = os.fspath(path)
    try:
        # without a wait for whoever may write into a pipe, and without making a terminal ours
        descriptor = os.open(path, os.O_RDONLY | _flag("O_NONBLOCK") | _flag("O_NOCTTY"))
    except OSError as error:
        raise UnreadableError(path, _reason(path, error)) from error
    try:
        status = os.fstat(descriptor)
        if (kind := kind_of(status.st_mode)) is not None:
            raise UnreadableError(path, f"{kind}, not a regular file")
        if status.st_size == 0:
            raise UnreadableError(path, "empty file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: str | os.PathLike[str]) -> int:
    """Raise UnreadableError as ``open_regular`` does, for a library that opens a path itself.

    Returns the size of the file in bytes.
    """
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


def _flag(name: str) -> int:
    return getattr(os, name, 0)


def _reason(path: str, error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file"
        case PermissionError():
            return "permission denied"
    if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # sockets and devices cannot be opened
        return f"{kind_of(os.stat(path).st_mode) or 'a device'}, not a regular file"
    return error.strerror or str(error)
