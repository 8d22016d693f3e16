"""Atomic file writes that never follow links.

A run folder may come from someone else, with links where mmtx writes. A file is therefore written
under a random name in the same folder and renamed to its target, which replaces a link instead of
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
"""Name of the lock file of the process that writes to a folder."""
STALE_SECONDS = 600.0
"""Seconds without a change after which a temporary file is considered abandoned."""
PROCESS_START = time.time()
"""Start time of this process."""


@contextmanager
def atomic_write(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; at the end, sync it and rename it to ``path``.

    The temporary file is created with O_EXCL under a random name. ``size`` is the number of bytes
    to be written, for the error message if the disk is full.
    """
    with writing(path, size):
        temporary = _temporary(path)
    try:
        with writing(path, size, temporary):
            yield temporary
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)  # mkstemp and some writers create it with 0600
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
    """Create the temporary file; errors name ``path``, which the user knows."""
    if not path.is_symlink() and path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is not a regular file and is not replaced; choose another path")
    try:
        remove_stale(path)
        descriptor, name = tempfile.mkstemp(SUFFIX, f".{path.name}.", path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    os.close(descriptor)
    return Path(name)


def remove_stale(path: Path) -> None:
    """Remove abandoned temporary files of ``path``, and links with such names.

    Recently changed files are kept, since another process may still be writing them.
    """
    _remove(path.parent, f".{path.name}.", time.time() - STALE_SECONDS)


def remove_leftovers(folder: Path) -> None:
    """Remove abandoned temporary files in a folder that this process has locked.

    Its subfolders are included, except those with locks of their own. Files newer than this
    process are kept, since they may belong to other processes of the same job.
    """
    with os.scandir(folder) as entries:
        subfolders = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
    for subfolder in (folder, *(path for path in subfolders if not (path / LOCK).exists())):
        _remove(subfolder, ".", PROCESS_START)


def _remove(folder: Path, prefix: str, before: float) -> None:
    """Remove temporary files last changed before a time, and links with such names."""
    with os.scandir(folder) as entries:
        leftovers = [e for e in entries if e.name.startswith(prefix) and e.name.endswith(SUFFIX)]
    for entry in leftovers:
        with suppress(FileNotFoundError):  # its process has just renamed it
            is_old = entry.stat(follow_symlinks=False).st_mtime < before
            if entry.is_symlink() or (is_old and entry.is_file(follow_symlinks=False)):
                os.unlink(entry.path)


def is_temporary(name: str) -> bool:
    """Return True for the name of an unfinished temporary file of ``atomic_write``."""
    return name.startswith(".") and name.endswith(SUFFIX)


def appending(path: Path, mode: str = "a") -> IO:
    """Open a file for appending; create it if it does not exist.

    Raises:
        ConfigError: if the path is a link or not a regular file, or the file has further hard
            links, which may be files elsewhere.
    """
    if path.is_symlink():
        raise ConfigError(
            f"{path}: is a link to {os.readlink(path)}; mmtx does not write through links: "
            "remove it, or choose another folder"
        )
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is not a regular file; remove it, or choose another folder")
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else ""
    file = open(path, mode, encoding=encoding, newline=newline, opener=_without_links)  # noqa: SIM115
    if os.fstat(file.fileno()).st_nlink > 1:
        file.close()
        raise ConfigError(
            f"{path}: has other hard links, which appending would also change; "
            "replace it with a copy, or choose another folder"
        )
    return file


def open_new(path: Path) -> IO[str]:
    """Open a new file for writing; an existing file is removed, not truncated."""
    path.unlink(missing_ok=True)
    return open(path, "x", encoding="utf-8", opener=_without_links)


def make_subfolder(path: Path) -> Path:
    """Create a subfolder of a run folder; raise as ``check_subfolder`` does."""
    check_subfolder(path)
    path.mkdir(exist_ok=True)
    return path


def check_subfolder(path: Path) -> None:
    """Check that a subfolder of a run folder is not a link, which may lead anywhere.

    Raises:
        ConfigError: if the path is a link.
    """
    if path.is_symlink():
        raise ConfigError(
            f"{path}: is a link to {os.readlink(path)}; mmtx does not write through links inside "
            "its folders: replace it with a folder, or link the whole folder"
        )


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically; NaN and infinities are written as null."""
    with atomic_write(path) as temporary:
        temporary.write_text(
            json.dumps(finite(content), indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )
