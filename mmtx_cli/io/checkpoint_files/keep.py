"""Earlier checkpoints of a run that are kept: the previous ones, and those of certain steps.

Only files with the names of this module are replaced or removed, and only in the checkpoint folder
itself: a link is replaced or removed, never what it leads to.
"""

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from mmtx_cli.io.atomic import SUFFIX
from mmtx_cli.io.checkpoint_files.seal import read_seal
from mmtx_cli.io.sharded.folder import holds_checkpoint, make_temporary, remove, replace

LAST, BEST = "last.ckpt", "best.ckpt"
_PREVIOUS = re.compile(r"previous(?:-(\d{1,4}))?\.ckpt")


def previous_name(number: int) -> str:
    """Return the name of the checkpoint ``number`` saves before the last one, from 1 on."""
    return "previous.ckpt" if number == 1 else f"previous-{number}.ckpt"


def step_name(step: int) -> str:
    """Return the name of the kept checkpoint of a step."""
    return f"step-{step}.ckpt"


def keep_previous(last: Path, count: int) -> None:
    """Keep the present checkpoint ``last``, which is about to be replaced, as the previous one.

    ``count`` is the number of checkpoints to keep, including ``last``. The present one stays in
    place: at every moment there is an intact ``last``. If that fails, a line says so, and the run
    goes on without the earlier checkpoint.
    """
    folder = last.parent
    try:
        _remove_surplus(folder, count)
        if count < 2 or last.is_symlink() or not last.exists():
            return
        for number in range(count - 1, 1, -1):
            newer = folder / previous_name(number - 1)
            if is_checkpoint(newer):
                replace(newer, folder / previous_name(number))
        copy_checkpoint(last, folder / previous_name(1))
    except OSError as error:
        print(
            f"warning: {folder / previous_name(1)}: the previous checkpoint is not kept: "
            f"{error.strerror or error}",
            file=sys.stderr,
            flush=True,
        )


def copy_checkpoint(source: Path, target: Path) -> None:
    """Replace ``target`` by ``source`` atomically, as a hard link where the file system has them.

    Checkpoints are only ever replaced, never changed, so both names may share one file.

    Raises:
        OSError: if that fails, or ``target`` is a folder that is not a checkpoint.
    """
    # random, so that nobody can put a link there
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{SUFFIX}")
    try:
        if source.is_dir():
            temporary = make_temporary(target)
            shutil.copytree(
                source, temporary, symlinks=True, copy_function=_link_or_copy, dirs_exist_ok=True
            )
        else:
            _link_or_copy(source, temporary)
        replace(temporary, target)
    finally:  # renaming one name of a file to another name of it does nothing
        remove(temporary)


def is_checkpoint(path: Path) -> bool:
    """Return True for a checkpoint, perhaps a damaged one: a file or folder, not a link."""
    return not path.is_symlink() and (path.is_file() or holds_checkpoint(path))


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder: by step from the newest, then those without a seal.

    Those without a seal are sorted by the time of their last change.
    """
    found = [path for path in folder.glob("*.ckpt") if is_checkpoint(path)]

    def age(path: Path) -> tuple[int, int, float]:
        seal = read_seal(path)
        # at one step, the last save follows the validation
        step, is_last = (-1, 0) if seal is None else (seal.step, path.name == LAST)
        return step, is_last, path.stat().st_mtime

    return sorted(found, key=age, reverse=True)


def disk_usage(folder: Path) -> int:
    """Return the bytes of the checkpoints of a run that the next ones replace."""
    sizes = {}
    if not folder.is_symlink() and folder.is_dir():
        for path in folder.glob("*.ckpt"):
            if path.name in (LAST, BEST) or _PREVIOUS.fullmatch(path.name):
                for file in _files(path):
                    status = file.lstat()
                    sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def _files(path: Path) -> Iterator[Path]:
    yield from path.rglob("*") if path.is_dir() and not path.is_symlink() else (path,)


def _remove_surplus(folder: Path, count: int) -> None:
    """Remove previous checkpoints beyond the number to keep."""
    for path in folder.glob("previous*.ckpt"):
        match = _PREVIOUS.fullmatch(path.name)
        if match and int(match[1] or 1) >= count and is_checkpoint(path):
            remove(path)


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # the file system has no hard links
        shutil.copyfile(source, target, follow_symlinks=False)
        with open(target, "rb") as file:
            os.fsync(file.fileno())
