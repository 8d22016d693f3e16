"""Checkpoints that are folders: shards of several processes, metadata and checksums.

A folder contains ``*.safetensors`` (the tensors, written with ``torch.distributed.checkpoint``),
``meta.pt`` (everything else: tensors and plain data) and ``checksums.json``, which lists the size
and the CRC-32 of each other file. It is complete before it gets its name.
"""

import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.atomic import SUFFIX, atomic_write, make_subfolder
from mmtx_cli.io.file_errors import reason, writing
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, check_regular, read_json

META, CHECKSUMS = "meta.pt", "checksums.json"
PREVIOUS = ".previous"
"""Suffix of the old checkpoint while it is replaced, where two names cannot be exchanged."""
_CHUNK = 2**24
_HERE, _EXCHANGE = -100, 2
"""Arguments of the system call ``renameat2``: the working directory, and exchange of two names."""


def is_sharded(path: Path) -> bool:
    """Return True if a path is the folder of a sharded checkpoint."""
    return path.is_dir() and (path / CHECKSUMS).exists() and (path / META).exists()


def holds_checkpoint(folder: Path) -> bool:
    """Return True if a folder contains a sharded checkpoint, perhaps a damaged one."""
    return (folder / META).is_file() or (folder / CHECKSUMS).is_file()


def read_checksums(folder: Path) -> dict[str, dict[str, int]]:
    """Return the size and CRC-32 of each file of a checkpoint, after checking the sizes.

    Raises:
        CheckpointError: if the list is invalid, or a file is missing, of another size or unlisted.
    """
    try:
        listed = read_json(folder / CHECKSUMS)
        if (
            not isinstance(listed, dict)
            or META not in listed
            or not all(map(_valid, listed.values()))
        ):
            raise RefusedFileError(f"{CHECKSUMS} is not a list of files")
        found = {entry.name for entry in os.scandir(folder)} - {CHECKSUMS}
        if differing := sorted(found ^ listed.keys()):
            state = "missing" if differing[0] in listed else f"not listed in {CHECKSUMS}"
            raise RefusedFileError(f"{differing[0]} is {state}")
        for name, entry in listed.items():
            if check_regular(folder / name) != entry["bytes"]:
                raise RefusedFileError(f"{name} is truncated or was changed")
    except (OSError, RefusedFileError) as error:
        text = reason(error) if isinstance(error, OSError) else error
        raise CheckpointError(f"{folder}: damaged: {text}; {REMEDY}") from error
    return listed


REMEDY = "use another checkpoint of the run, or another copy of this one"


def _valid(entry: Any) -> bool:
    return isinstance(entry, Mapping) and all(type(entry.get(k)) is int for k in ("bytes", "crc32"))


def check_files(
    folder: Path, listed: Mapping[str, Mapping[str, int]], names: Iterable[str]
) -> None:
    """Compare files with their checksums.

    Raises:
        CheckpointError: naming the first file that differs.
    """
    for name in names:
        if checksum(folder / name) != listed[name]:
            raise CheckpointError(f"{folder}: damaged: {name} did not match its checksum; {REMEDY}")


def checksum(path: Path) -> dict[str, int]:
    """Return the size and the CRC-32 of a file."""
    crc = size = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
    return {"bytes": size, "crc32": crc}


def make_temporary(target: Path) -> Path:
    """Create an empty folder beside ``target``; remove those of earlier writers."""
    make_subfolder(target.parent)  # a run folder that was removed is not recreated
    prefix = f".{target.name}."
    for entry in os.scandir(target.parent):
        is_left = entry.name.startswith(prefix) and entry.name.endswith(SUFFIX)
        if is_left and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
    with writing(target):
        return Path(tempfile.mkdtemp(SUFFIX, prefix, target.parent))


def finish(temporary: Path, target: Path, listed: Mapping[str, Mapping[str, int]]) -> None:
    """Write the checksums, sync, and give the folder its name in place of a file or folder."""
    with writing(target, None, temporary):
        path = temporary / CHECKSUMS
        path.write_text(json.dumps(dict(sorted(listed.items())), indent=2) + "\n", encoding="utf-8")
        for name in (*listed, CHECKSUMS):
            sync(temporary / name)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o777 & ~mask)  # mkdtemp creates it with 0700
        sync(temporary)
        replace(temporary, target)


def replace(temporary: Path, target: Path) -> None:
    """Give a file or folder the name of another one, which is then removed.

    At any moment, ``target`` is the old or the new one; on file systems that cannot exchange two
    names, there is a moment in which only ``recovered`` finds the old one.

    Raises:
        OSError: if that fails, or ``target`` is a folder that is not a checkpoint.
    """
    if target.is_dir() and not target.is_symlink() and not holds_checkpoint(target):
        raise FileExistsError(errno.EEXIST, "a folder that is not a checkpoint", str(target))
    if not os.path.lexists(target) or (temporary.is_file() and not target.is_dir()):
        os.replace(temporary, target)
    elif exchange(temporary, target):
        remove(temporary)
    else:
        previous = target.with_name(f".{target.name}{PREVIOUS}")
        remove(previous)
        os.replace(target, previous)
        os.replace(temporary, target)
        sync(target.parent)
        remove(previous)
    sync(target.parent)


@contextmanager
def replacing(target: Path, size: int) -> Iterator[Path]:
    """Yield a temporary path for the file ``target``, like ``atomic_write``.

    It may replace a sharded checkpoint, of a run that is resumed with another strategy.
    """
    if not is_sharded(target):
        with atomic_write(target, size) as temporary:
            yield temporary
        return
    folder = make_temporary(target)
    try:
        with writing(target, size, folder / target.name):
            yield folder / target.name
            sync(folder / target.name)
            replace(folder / target.name, target)
    finally:
        remove(folder)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders at once; return False if that is not possible."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None or sys.platform != "linux":
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(rename(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0)


def recovered(target: Path) -> Path:
    """Return a checkpoint, under its own name also if its replacement was interrupted."""
    previous = target.with_name(f".{target.name}{PREVIOUS}")
    if not os.path.lexists(target) and previous.exists() and not previous.is_symlink():
        os.replace(previous, target)
    return target


def remove(path: Path) -> None:
    """Remove a file or folder, if it exists; never what a link refers to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Write a file or the entries of a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
