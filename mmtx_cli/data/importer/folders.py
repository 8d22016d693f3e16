"""Import of a folder tree with one folder per class to manifest rows."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.drawn import RANDOM_SPLIT
from mmtx_cli.data.importer.found import Found, staging_of, with_notes
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import check_folders, resolve_link, split_of_rows
from mmtx_cli.data.list_files import files_below
from mmtx_cli.data.manifest.row_parser import is_split_name, parse_split
from mmtx_cli.errors import DataError
from mmtx_cli.media.suffixes import SUFFIXES

_KIND = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
_SHOWN = 5


def read(settings: Settings) -> Found:
    """Return the rows of the files in ``source``."""
    check_folders({"source": settings["source"]}, settings)
    source, notes = Path(resolve_link(settings["source"])), list[str]()
    found = rows(source, split_of_rows(settings), notes)
    return Found(with_notes(found, lambda: notes), [str(source)], staging_of(settings))


def rows(
    folder: str | Path,
    split: str | Callable[[str], str] | None,
    notes: list[str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield one row per image, video or audio file, in path order; the id is its relative path.

    Args:
        folder: Holds a folder per class or, if ``split`` is None, a folder per split (``train``,
            ``val``, ``test``) with class folders in each.
        split: The split of all rows, or a function that returns it for an id.
        notes: List to which a note on skipped files is appended.

    Raises:
        DataError: if there is no class or no file of a known suffix, a folder is not a split, or
            there are split folders although ``split`` is given.
    """
    top = Path(folder)
    if split is not None:
        _check_classes(top)
    parts = [(top, split)] if split is not None else _splits(top)
    classes = [
        (class_folder, part_split) for part, part_split in parts for class_folder in _folders(part)
    ]
    skipped = [
        path for part in dict.fromkeys([top, *(p for p, _ in parts)]) for path in _loose(part)
    ]
    num_imported = 0
    for class_folder, part_split in classes:
        for path in files_below(class_folder):
            kind = _KIND.get(path.suffix.lower())
            if kind is None:
                skipped.append(path)
                continue
            num_imported += 1
            ident = path.relative_to(top).as_posix()
            row: dict[str, Any] = {"id": ident, kind: str(path), "label": class_folder.name}
            if isinstance(part_split, str):
                yield str(path), row | {"split": part_split}
            else:
                yield str(path), row | {"split": part_split(ident), RANDOM_SPLIT: True}
    if not num_imported:
        raise DataError(
            f"{top}: no image, video or audio file in a class folder; put files into "
            f"{top}/CLASS, or {top}/train/CLASS"
        )
    if skipped:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in skipped)
        suffix_counts = ", ".join(f"{count} x {suffix}" for suffix, count in kinds.most_common())
        examples = ", ".join(str(path.relative_to(top)) for path in skipped[:_SHOWN])
        more = " …" if len(skipped) > _SHOWN else ""
        notes.append(
            f"{top}: {len(skipped)} files were skipped ({suffix_counts}): {examples}{more}"
        )


def _splits(top: Path) -> list[tuple[Path, str]]:
    """Return the folder of each split; raise DataError if any folder is not a split."""
    faults: list[str] = []
    found = [(path, parse_split(path.name, faults)) for path in _folders(top)]
    if faults or not found:
        names = ", ".join(path.name for path, _ in found) or "no folders"
        raise DataError(
            f"{top}: contains {names}; if folders are classes, set split=train or 'split={{train: "
            "0.8, val: 0.1, test: 0.1}', or move them into folders train, val and test"
        )
    return found


def _check_classes(top: Path) -> None:
    """Raise DataError for split folders if a split is given: they would be read as classes."""
    names = [path.name for path in _folders(top)]
    if names and all(map(is_split_name, names)):
        raise DataError(
            f"{top}: folders ({', '.join(names)}) are named like splits; remove split= to use them "
            "as splits, or set source= to a folder with one folder per class"
        )


def _loose(folder: Path) -> list[Path]:
    """Return the files directly in a folder, which belong to no class."""
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
