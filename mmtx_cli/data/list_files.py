"""Recursive listing of files, sorted by name within each folder."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, except hidden files and folders.

    Links to folders are followed, except to folders that were already listed and to parents of
    ``folder``, which would add files beside it.
    """
    top = os.path.realpath(folder)
    visited = {top, *map(str, Path(top).parents)}
    for base, folders, names in os.walk(folder, followlinks=True):
        visible = [name for name in sorted(folders) if not name.startswith(".")]
        folders.clear()
        for name in visible:
            real = os.path.realpath(os.path.join(base, name))
            if real not in visited:
                visited.add(real)
                folders.append(name)
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(base, name)
