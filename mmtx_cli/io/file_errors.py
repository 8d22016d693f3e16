"""Files that cannot be written or read: which one, why, and how much room there is and is needed.

Only what the system says of a file is explained here; an ``OSError`` of anything else stays what
it is.
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

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
FAILING = (
    *(*FULL, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ENXIO),
    getattr(errno, "ESTALE", errno.EIO),
)
"""What the machine lacks or fails at: nothing that the user named is wrong."""
MISPLACED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP, errno.ETXTBSY),
)
"""A place that cannot be used as it is: another one can be named."""
_RUST = re.compile(r"\(os error (\d+)\)")
_PROBE = 2**20


class FileError(OSError):
    """An error of a file that was being written: what there was room for, and what it needs."""

    free: int | None = None
    size: int | None = None


def is_of_files(error: OSError) -> bool:
    """Does the system speak of a file or a disk (not of a connection or a process)?"""
    return error.errno in FAILING or (error.errno in MISPLACED and error.filename is not None)


@contextmanager
def writing(path: Path, size: int | None = None, half: Path | None = None) -> Iterator[None]:
    """Name ``path`` in what goes wrong while it is written, by whichever library.

    ``size`` is how many bytes it needs, ``half`` the file that is written in its place first.
    """
    free = free_space(path)  # afterwards half a file may still hold it
    try:
        yield
    except Exception as error:
        number = cause(error, path, half or path)
        if number is None or number not in (*FAILING, *MISPLACED):
            raise
        named = FileError(number, os.strerror(number), str(path))
        named.free, named.size = free, size
        raise named from error


def cause(error: Exception, path: Path, half: Path) -> int | None:
    """The system's number of an error while ``path`` (or ``half``, in its place) is written."""
    if isinstance(error, OSError):
        own = error.filename is None or str(error.filename) in (str(path), str(half))
        return error.errno if own else None
    if found := _RUST.search(str(error)):  # safetensors has an error of its own for all of this
        return int(found[1])
    return hidden(half) if isinstance(error, RuntimeError) else None


def hidden(path: Path) -> int | None:
    """Why torch could not write: it keeps the system's reason to itself, a further write has it."""
    if not path.exists():
        return None
    try:
        with open(path, "ab") as file:
            file.write(bytes(_PROBE))
    except OSError as error:
        return error.errno
    return None


def reason(error: OSError) -> str:
    """What the system says, with the room that there is where that is what is lacking."""
    said = error.strerror or str(error)
    if error.errno in FULL:
        said += f" ({room(error)})" if error.filename else ""
    elif error.errno == errno.ENOENT and error.filename:
        folder = Path(str(error.filename)).parent
        said += "" if folder.is_dir() else f"; the folder {folder} is gone or was never made"
    elif error.errno == errno.EMFILE:
        said += "; raise the limit: ulimit -n"
    return said


def room(error: OSError) -> str:
    """The room on the disk of a file, and the room that the file needs, if that is known."""
    free = getattr(error, "free", None)
    free = free_space(Path(str(error.filename))) if free is None else free
    size = getattr(error, "size", None)
    needed = f", about {megabytes(size)} needed" if size is not None else ""
    return f"{megabytes(free)} free{needed}"


def free_space(path: Path) -> int:
    """Bytes that a file may take on its disk, also where its folder is not made yet."""
    for place in (path, *path.absolute().parents):
        if place.is_dir():
            return shutil.disk_usage(place).free
    return 0


def megabytes(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def fault(error: OSError, run_dir: str | None = None, remedy: str = "") -> ConfigError | RunError:
    """The message of an error of files: the user's to mend, or a failure of the machine.

    ``run_dir`` is named where the system does not say which file it was; ``remedy`` is what to do
    once the cause is mended.
    """
    if error.filename is None and run_dir is not None:
        error.filename = run_dir
    where = f"{error.filename}: " if error.filename is not None else ""
    kind = RunError if error.errno in FAILING else ConfigError
    return kind(f"{where}{reason(error)}{remedy}")


def told(error: Exception, command: str, run_dir: str | None) -> Exception:
    """What to tell of an error of files or disks, and how to go on; any other error as it is."""
    if not isinstance(error, OSError) or not is_of_files(error):
        return error
    remedy = ""
    if run_dir and os.path.isfile(os.path.join(run_dir, "checkpoints", "last.ckpt")):
        resume = f"mmtx {command} resume=true {argument('run_dir', run_dir)}"
        remedy = f"; once that is mended, go on by: {resume}"
    message = fault(error, run_dir, remedy)
    message.__cause__ = error
    return message
