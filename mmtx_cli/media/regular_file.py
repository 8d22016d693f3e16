"""Open media files without blocking on pipes or devices."""

import errno
import os
from io import BufferedReader

from mmtx_cli.io.untrusted.bounded_file import kind_of
from mmtx_cli.media.errors import UnreadableError


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file that is not empty, without blocking on anything else.

    Raises:
        UnreadableError: if the file is missing, unreadable, empty, or not a regular file (a
            folder, named pipe, socket or device).
    """
    path = os.fspath(path)
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
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: str | os.PathLike[str]) -> int:
    """Return the size in bytes of a file that a library opens by its path.

    Raises:
        UnreadableError: as ``open_regular`` does.
    """
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


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
