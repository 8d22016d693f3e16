"""Writing files: whole or not at all, and never through a link.

A run folder may come from someone else, with links where mmtx writes. A file is therefore written
under a new, random name beside its target and renamed over it, which replaces a link instead of
following it. Files that grow line by line are opened without following links.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.file_errors import writing
from mmtx_cli.io.jsonl import finite

SUFFIX = ".part"
LOCK = ".lock"
"""The file in a folder by which the process that writes there locks it."""
STALE = 600.0
"""Seconds without a change after which a temporary file belongs to a process that was killed."""
BEGUN = time.time()
"""When this process began."""


@contextmanager
def replaced(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; at the end, sync it and rename it to ``path``.

    The temporary file is created with O_EXCL under a random name. ``size`` is the number of bytes
    to be written, which the error message names where the disk has no room for them.
    """
    with writing(path, size):
        temporary = _temporary(path)
    try:
        with writing(path, size, temporary):
            yield temporary
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)  # some writers make files only their owner reads
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _temporary(path: Path) -> Path:
    """Create the temporary file; an error names ``path``, which the user knows."""
    if not path.is_symlink() and path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is not a regular file, and is not replaced; name another path")
    try:
        remove_stale(path)
        number, name = tempfile.mkstemp(SUFFIX, f".{path.name}.", path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    os.close(number)
    return Path(name)


def remove_stale(path: Path) -> None:
    """Remove temporary files that killed processes left beside ``path``, and links of their name.

    A file that was changed lately may belong to a process that is still writing.
    """
    _remove(path.parent, f".{path.name}.", time.time() - STALE)


def remove_left(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder that this process has locked.

    Subfolders belong to it, unless they have locks of their own. Files that are newer than this
    process may belong to others of the same job.
    """
    with os.scandir(folder) as entries:
        inner = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
    for place in (folder, *(path for path in inner if not (path / LOCK).exists())):
        _remove(place, ".", BEGUN)


def _remove(folder: Path, begin: str, before: float) -> None:
    """Remove temporary files last changed before a time, and links that have such names."""
    with os.scandir(folder) as entries:
        left = [e for e in entries if e.name.startswith(begin) and e.name.endswith(SUFFIX)]
    for entry in left:
        with suppress(FileNotFoundError):  # its process has just finished it
            old = entry.stat(follow_symlinks=False).st_mtime < before
            if entry.is_symlink() or (old and entry.is_file(follow_symlinks=False)):
                os.unlink(entry.path)


def is_temporary(name: str) -> bool:
    """Return True for the name of a file that ``replaced`` has not finished."""
    return name.startswith(".") and name.endswith(SUFFIX)


def appending(path: Path, mode: str = "a") -> IO:
    """Open a file to append to it; the file is created if it does not exist.

    Raises:
        ConfigError: if a link, or anything but a regular file, has its name, or the file has
            further names, which may be those of someone's file elsewhere.
    """
    if path.is_symlink():
        raise ConfigError(
            f"{path}: is a link to {os.readlink(path)}; mmtx does not write through links: "
            "remove it, or name another folder"
        )
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is not a regular file; remove it, or name another folder")
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else ""
    file = open(path, mode, encoding=encoding, newline=newline, opener=_without_links)  # noqa: SIM115
    if os.fstat(file.fileno()).st_nlink > 1:
        file.close()
        raise ConfigError(
            f"{path}: has further names (hard links), and what is appended would be seen under "
            "them, too; replace it by a copy, or name another folder"
        )
    return file


def created(path: Path) -> IO[str]:
    """Open a new file for writing; one of that name is removed, not written into."""
    path.unlink(missing_ok=True)
    return open(path, "x", encoding="utf-8", opener=_without_links)


def own_folder(path: Path) -> Path:
    """Make a subfolder of a run folder, as ``check_own_folder`` allows it."""
    check_own_folder(path)
    path.mkdir(exist_ok=True)
    return path


def check_own_folder(path: Path) -> None:
    """Refuse a link in place of a subfolder of a run folder: it may lead anywhere.

    Raises:
        ConfigError: if a link has its name.
    """
    if path.is_symlink():
        raise ConfigError(
            f"{path}: is a link to {os.readlink(path)}; mmtx does not write through links inside "
            "its folders: replace it by a folder, or link the whole folder"
        )


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole; figures that are undefined (NaN) are null in it."""
    with replaced(path) as temporary:
        temporary.write_text(
            json.dumps(finite(content), indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )
