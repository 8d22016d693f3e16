"""Folders of derived files that are made once, checked when opened, and removed when old.

A folder appears under its name when it is complete, with the size and checksums of its files.
Processes that need the same folder wait for the one that makes it.
"""

import atexit
import errno
import fcntl
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from mmtx_cli.errors import ConfigError, RunError

FOLDER, LIMIT = "MMTX_MANIFEST_CACHE", "MMTX_MANIFEST_CACHE_GB"
"""Environment variables: the cache folder (or ``off``), and its maximum size."""
DEFAULT_LIMIT = 100.0
CONTENTS = "contents.json"
_PIECE = 2**26
_in_use: dict[str, int] = {}
_whole: set[Path] = set()


def cache_root() -> Path:
    """Return the folder of the cache, created if necessary.

    It is a temporary one, removed when the process ends, if the cache is off or its usual folder
    cannot be written.

    Raises:
        ConfigError: if the folder in MMTX_MANIFEST_CACHE cannot be written.
    """
    chosen = os.environ.get(FOLDER, "")
    if chosen.lower() == "off":
        return _temporary_root()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    root = Path(chosen) if chosen else Path(base) / "mmtx" / "manifests"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        if chosen:
            raise ConfigError(f"{FOLDER}={chosen}: cannot be written: {error.strerror}") from error
        return _temporary_root()
    return root.absolute()


_temporary: dict[int, Path] = {}


def _temporary_root() -> Path:
    process = os.getpid()
    if process not in _temporary:
        _temporary[process] = Path(tempfile.mkdtemp(prefix="mmtx-manifests-"))
        atexit.register(_remove_own, process)
    return _temporary[process]


def _remove_own(process: int) -> None:
    if os.getpid() == process:  # not in a forked copy
        shutil.rmtree(_temporary[process], ignore_errors=True)


def made(root: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder ``name`` in ``root``, made by ``make(empty folder)`` if it is not whole.

    It cannot be removed from the cache as long as this process lives.

    Raises:
        RunError: if the disk is full.
    """
    target = root / name
    if str(target) in _in_use and target in _whole:
        return target
    with _lock(root / f".{name}.lock") as descriptor:
        if not is_whole(target):
            _remove_parts(root, name)
            _make(root, name, make)
        with suppress(OSError):
            os.utime(target)
        if descriptor is not None:
            _in_use[str(target)] = os.dup(descriptor)
    _whole.add(target)
    return target


def _make(root: Path, name: str, make: Callable[[Path], None]) -> None:
    temporary = Path(tempfile.mkdtemp(".part", f".{name}.", root))
    try:
        make(temporary)
        _seal(temporary)
        target = root / name
        shutil.rmtree(target, ignore_errors=True)
        try:
            os.rename(temporary, target)
        except OSError as error:  # without locks, another process may have been faster
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not is_whole(target):
                raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(f"{root}: disk full; set {FOLDER}=FOLDER to one with more space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _lock(path: Path) -> Iterator[int | None]:
    """Hold a lock; it is shared afterwards, if its descriptor is duplicated."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # some network file systems have no locks; folders are atomic anyway
            yield None
            return
        yield descriptor
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _seal(folder: Path) -> None:
    """Sync all files, and write their sizes and checksums."""
    contents = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        contents[path.name] = [path.stat().st_size, checksums(path)]
    with (folder / CONTENTS).open("w", encoding="utf-8") as file:
        json.dump(contents, file)
        file.flush()
        os.fsync(file.fileno())


def is_whole(folder: Path) -> bool:
    """Return True if all files of a folder have the size and the checksums they were made with."""
    try:
        contents = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        return bool(contents) and all(
            (folder / name).stat().st_size == size and checksums(folder / name) == sums
            for name, (size, sums) in contents.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def checksums(path: Path) -> list[int]:
    """Return the CRC-32 of each 64 MiB of a file, computed by several threads."""
    pieces = range(0, path.stat().st_size, _PIECE)

    def checksum(start: int) -> int:
        total = 0
        with path.open("rb") as file:
            file.seek(start)
            for _ in range(0, _PIECE, 2**20):
                total = zlib.crc32(file.read(2**20), total)
        return total

    if len(pieces) < 2:
        return [checksum(start) for start in pieces]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        return list(threads.map(checksum, pieces))


def remove_old(root: Path) -> None:
    """Remove the least recently used folders that no process uses until the limit is kept.

    Raises:
        ConfigError: if the limit is not a number.
    """
    text = os.environ.get(LIMIT, "")
    try:
        limit = float(text or DEFAULT_LIMIT) * 1e9
    except ValueError as error:
        raise ConfigError(f"{LIMIT}={text}: expected a number of gigabytes") from error
    folders = []
    for path in root.iterdir():
        with suppress(OSError):
            if path.is_dir() and not path.name.startswith(".") and (path / CONTENTS).exists():
                folders.append((path.stat().st_mtime, path, size_of(path)))
    total = sum(size for _, _, size in folders)
    for _, path, size in sorted(folders):
        if total <= limit:
            return
        if _remove_unused(root, path):
            total -= size


def _remove_unused(root: Path, path: Path) -> bool:
    try:
        descriptor = os.open(root / f".{path.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _remove_parts(root: Path, name: str) -> None:
    """Remove what a process that was killed left of this folder, whose lock is held."""
    for path in root.glob(f".{name}.*.part"):
        shutil.rmtree(path, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Return the number of bytes of all files in a folder and its subfolders."""
    return sum(
        os.lstat(os.path.join(where, name)).st_size
        for where, _, names in os.walk(folder)
        for name in names
    )
