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
    seen = {top, *map(str, Path(top).parents)}
    for base, inner, names in os.walk(folder, followlinks=True):
        shown = [name for name in sorted(inner) if not name.startswith(".")]
        inner.clear()
        for name in shown:
            real = os.path.realpath(os.path.join(base, name))
            if real not in seen:
                seen.add(real)
                inner.append(name)
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(base, name)
