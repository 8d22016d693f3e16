"""A folder a class, with its files below it, to manifest rows."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmtx_cli.data.row import named_split
from mmtx_cli.data.suffix import SUFFIXES
from mmtx_cli.error import DataError

_KIND = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
_SHOWN = 5


def rows(
    folder: str | Path,
    split: str | Callable[[str], str] | None,
    notes: list[str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a row a picture, film or sound, in the order of the paths.

    ``folder`` holds a folder a class, or, without ``split``, one a split (``train``, ``val``,
    ``test``) with a folder a class in each. ``split`` is that of all rows, or gives one for an id,
    which is the path below ``folder``. What files are not taken is appended to ``notes``.

    Raises:
        DataError: no class, no file of a known suffix, or a folder that is no split.
    """
    top = Path(folder)
    parts = [(top, split)] if split is not None else _splits(top)
    classes = [(own, chosen) for part, chosen in parts for own in _folders(part)]
    left = [path for part, _ in parts for path in sorted(part.iterdir()) if path.is_file()]
    taken = 0
    for own, chosen in classes:
        for path in _files(own):
            kind = _KIND.get(path.suffix.lower())
            if kind is None:
                left.append(path)
                continue
            taken += 1
            ident = path.relative_to(top).as_posix()
            where = chosen if isinstance(chosen, str) else chosen(ident)
            yield str(path), {"id": ident, "split": where, kind: str(path), "label": own.name}
    if not taken:
        raise DataError(
            f"{top}: no picture, film or sound in a folder of a class; put files into "
            f"{top}/CLASS, or {top}/train/CLASS"
        )
    if left:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in left)
        told = ", ".join(f"{count} x {suffix}" for suffix, count in kinds.most_common())
        some = ", ".join(str(path.relative_to(top)) for path in left[:_SHOWN])
        more = " …" if len(left) > _SHOWN else ""
        notes.append(f"{top}: {len(left)} files were not taken ({told}): {some}{more}")


def _splits(top: Path) -> list[tuple[Path, str]]:
    """The folder of each split. Raises DataError if there is another."""
    faults: list[str] = []
    found = [(path, named_split(path.name, faults)) for path in _folders(top)]
    if faults or not found:
        named = ", ".join(path.name for path, _ in found) or "no folder"
        raise DataError(
            f"{top}: holds {named}; give split=train, or ratios 'split={{train: 0.8, val: 0.1, "
            "test: 0.1}', where folders are classes, or put them into folders train, val and test"
        )
    return found


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, but hidden ones."""
    for base, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(base, name)
