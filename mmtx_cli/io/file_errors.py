"""Messages for file errors: which file, why, and the disk space that is free and needed.

Only errors of the file system are explained; any other ``OSError`` is left unchanged.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmtx_cli.errors import ConfigError, RunError
from mmtx_cli.io.quoting import argument

DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
FAILING = (
    *(*DISK_FULL, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ENXIO),
    getattr(errno, "ESTALE", errno.EIO),
)
"""Failures and limits of the machine; the path given by the user is valid."""
MISPLACED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP, errno.ETXTBSY),
)
"""Paths that cannot be used; the user can give another one."""
_RUST = re.compile(r"\(os error (\d+)\)")
_PROBE = 2**20


class FileError(OSError):
    """An error while writing a file, with the ``free`` space and the ``size`` needed, in bytes."""

    free: int | None = None
    size: int | None = None


def is_of_files(error: OSError) -> bool:
    """Return True if an error concerns a file or disk, not a connection or process."""
    return error.errno in FAILING or (error.errno in MISPLACED and error.filename is not None)


@contextmanager
def writing(path: Path, size: int | None = None, temporary: Path | None = None) -> Iterator[None]:
    """Convert file errors of any library, while ``path`` is written, to a FileError that names it.

    ``size`` is the number of bytes needed, ``temporary`` the temporary file that is written first.
    """
    free = free_space(path)  # measured first: a partial file may use it up
    try:
        yield
    except Exception as error:
        number = errno_of(error, path, temporary or path)
        if number is None or number not in (*FAILING, *MISPLACED):
            raise
        file_error = FileError(number, os.strerror(number), str(path))
        file_error.free, file_error.size = free, size
        raise file_error from error


def errno_of(error: Exception, path: Path, temporary: Path) -> int | None:
    """Return the errno of an error in writing ``path`` or ``temporary``; None if unrelated."""
    if isinstance(error, OSError):
        is_same_file = error.filename is None or str(error.filename) in (str(path), str(temporary))
        return error.errno if is_same_file else None
    if found := _RUST.search(str(error)):  # safetensors raises its own error type
        return int(found[1])
    return probe_errno(temporary) if isinstance(error, RuntimeError) else None


def probe_errno(path: Path) -> int | None:
    """Return the errno that torch does not report, by attempting a further write."""
    if not path.exists():
        return None
    try:
        with open(path, "ab") as file:
            file.write(bytes(_PROBE))
    except OSError as error:
        return error.errno
    return None


def reason(error: OSError) -> str:
    """Return the system's error message, with the free disk space or a remedy where it helps."""
    message = error.strerror or str(error)
    if error.errno in DISK_FULL:
        message += f" ({space_text(error)})" if error.filename else ""
    elif error.errno == errno.ENOENT and error.filename:
        folder = Path(str(error.filename)).parent
        message += "" if folder.is_dir() else f"; folder {folder} does not exist"
    elif error.errno == errno.EMFILE:
        message += "; raise the limit: ulimit -n"
    return message


def space_text(error: OSError) -> str:
    """Return the free space on a file's disk and, if known, the space needed, as text."""
    free = getattr(error, "free", None)
    free = free_space(Path(str(error.filename))) if free is None else free
    size = getattr(error, "size", None)
    needed = f", about {megabytes(size)} needed" if size is not None else ""
    return f"{megabytes(free)} free{needed}"


def free_space(path: Path) -> int:
    """Return the free bytes on a file's disk, even if its folder does not exist yet."""
    for folder in (path, *path.absolute().parents):
        if folder.is_dir():
            return shutil.disk_usage(folder).free
    return 0


def megabytes(size: float) -> str:
    """Format a number of bytes in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def user_error(
    error: OSError, run_dir: str | None = None, remedy: str = ""
) -> ConfigError | RunError:
    """Return a RunError for a failure of the machine, or a ConfigError that the user can fix.

    ``run_dir`` is named if the system does not report the file; ``remedy`` ends the message.
    """
    if error.filename is None and run_dir is not None:
        error.filename = run_dir
    where = f"{error.filename}: " if error.filename is not None else ""
    kind = RunError if error.errno in FAILING else ConfigError
    return kind(f"{where}{reason(error)}{remedy}")


def with_resume_command(error: Exception, command: str, run_dir: str | None) -> Exception:
    """Convert a file error to a message with the command to resume; return others unchanged."""
    if not isinstance(error, OSError) or not is_of_files(error):
        return error
    remedy = ""
    if run_dir and os.path.exists(os.path.join(run_dir, "checkpoints", "last.ckpt")):
        resume = f"mmtx {command} resume=true {argument('run_dir', run_dir)}"
        remedy = f"; once this is fixed, resume with: {resume}"
    message = user_error(error, run_dir, remedy)
    message.__cause__ = error
    return message
