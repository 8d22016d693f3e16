"""The files in a folder and below it, those of each folder by their names."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder except hidden ones and those in hidden folders.

    Links to folders are followed, but not to one that was listed already, nor to one that holds
    ``folder``, which would bring the files beside it.
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
