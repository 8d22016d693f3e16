"""The files of samples: absolute paths inside a folder, and samples by path."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmtx_cli.data.manifest.dataset_card import card_path, read_card
from mmtx_cli.data.manifest.option_names import Keys
from mmtx_cli.data.manifest.path_resolver import Root, card_folder
from mmtx_cli.errors import MmtxError, listed
from mmtx_cli.scoring.files.caption_file import CaptionFile, Media

_KEYS = Keys("images", "images", "split", "images")
_TOLERANCE = 2e-3
"""Seconds by which the times of a segment may differ: ``mmtx caption`` rounds to milliseconds."""

Files = dict[str, dict[str, tuple[Path, ...]]]


def files_of(file: CaptionFile, images: Path | None) -> Files:
    """Return the absolute paths of the files of each id, by modality.

    Paths are relative to ``images``, else to the root of the manifest's dataset card, else to the
    folder of the references. Those of COCO annotations need ``images``. Paths that leave the folder
    are not used, which is noted.
    """
    if not file.media or (images is None and file.form.startswith("COCO")):
        return {}
    folder = images if images is not None else _folder(file)
    root = Root(folder, allow_outside=False, check_files=False, keys=_KEYS)
    file.root = Path(root.folder)
    found: Files = {}
    refused = []
    for name, media in file.media.items():
        files: dict[str, tuple[Path, ...]] = {}
        for modality, paths in media.paths.items():
            resolved = [root.resolve(path) for path in paths]
            if any(fault for _, fault in resolved):
                refused.append(name)
            else:
                files[modality] = tuple(Path(path) for path, _ in resolved)
        found[name] = files
    if refused:
        file.notes.append(
            f"the files of {len(refused)} samples are not used, because they are URLs or outside "
            f"{folder}: ids {listed(refused)}; set images=FOLDER to the folder that contains them"
        )
    return found


def _folder(file: CaptionFile) -> Path:
    try:
        card = read_card(card_path(file.path))
        return card_folder(file.path, card.path, card.root, allow_outside=False, keys=_KEYS)
    except MmtxError as error:
        file.notes.append(f"the dataset card is not used: {error.faults[0]}")
        return file.path.absolute().parent


class PathIndex:
    """Finds the samples of references by the path of a file, as another program wrote it."""

    def __init__(
        self, references: CaptionFile, files: Mapping[str, Mapping[str, tuple[Path, ...]]]
    ):
        """Index the files of references: their absolute paths, and as they are written."""
        self._references = references
        self._full: dict[str, list[str]] = {}
        self._by_name: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._real: dict[str, list[str]] | None = None
        self.by_ends: list[tuple[str, str]] = []
        """Paths that were found only by their last parts, with those of the references."""
        for name, media in references.media.items():
            for path in (path for own in files.get(name, {}).values() for path in own):
                self._full.setdefault(str(path), []).append(name)
            for written in (path for own in media.paths.values() for path in own):
                parts = _parts(written)
                self._by_name.setdefault(parts[-1], []).append((parts, name))

    def find(self, media: Media, folders: Iterable[Path]) -> tuple[list[str], str]:
        """Return the samples of a file or segment, and, unless there is one, what is wrong.

        Args:
            media: The file, with one path.
            folders: Folders that the path may be relative to.
        """
        path = next(path for paths in media.paths.values() for path in paths)
        names = list(
            dict.fromkeys(
                name
                for folder in folders
                for name in self._full.get(os.path.normpath(os.path.join(folder, path)), ())
            )
        )
        names = names or self._behind_links(path, folders) or self._by_end(path)
        if not names:
            return [], "no such file in the references"
        fitting = [name for name in names if self._has_times(name, media)]
        if fitting:
            return fitting, "" if len(fitting) == 1 else "several samples have this file"
        if media.start is None:
            return [], "the references are of segments of this file"
        return [], "the references have no segment with these times"

    def _behind_links(self, path: str, folders: Iterable[Path]) -> list[str]:
        if self._real is None:
            self._real = {}
            for full, names in self._full.items():
                self._real.setdefault(_real(full), []).extend(names)
        found = (self._real.get(_real(os.path.join(f, path)), []) for f in folders)
        return list(dict.fromkeys(name for names in found for name in names))

    def _by_end(self, path: str) -> list[str]:
        """Return the samples whose path ends as this one, or the reverse."""
        parts = _parts(path)
        found: dict[str, str] = {}
        for other, name in self._by_name.get(parts[-1], ()):
            number = min(len(parts), len(other))
            if parts[-number:] == other[-number:]:
                found[name] = "/".join(other)
        if len(found) == 1:
            self.by_ends.append((path, next(iter(found.values()))))
        return list(found)

    def _has_times(self, name: str, media: Media) -> bool:
        own = self._references.media[name]
        if own.start is None or own.end is None or media.start is None or media.end is None:
            return own.start is media.start is None
        return abs(own.start - media.start) < _TOLERANCE and abs(own.end - media.end) < _TOLERANCE


def _real(path: str) -> str:
    """Return a path without links, or as it is if no file can have this name."""
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL character, or a lone surrogate
        return path


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", ".")) or (
        path,
    )
