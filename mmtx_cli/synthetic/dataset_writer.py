"""Write built-in data sets atomically, only if needed, and never over other files."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mmtx_cli.data.manifest.dataset_card import read_card
from mmtx_cli.data.manifest.table_file import read_lines
from mmtx_cli.data.manifest.writer import MEDIA, write_manifest
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.progress import track
from mmtx_cli.synthetic.row_processes import rows_in_order

Row = dict[str, Any]
_MIN_NUM, _MIN_SIZE = 10, 32


@dataclass(frozen=True)
class BuiltIn:
    """A data set determined by its arguments: NAME.jsonl, its card, and folders of media.

    ``made_with`` contains the arguments and the generator's version, ``files`` the number of files
    in each folder of media. ``former`` are further folders of media that a data set of this name
    may have if it was made with other arguments; they are replaced with it.
    """

    name: str
    made_with: dict[str, Any]
    files: dict[str, int]
    former: tuple[str, ...] = ()

    def make(
        self,
        folder: Path,
        make_row: Callable[[Path, int], Row],
        card: dict[str, Any],
        workers: int | None = None,
    ) -> Path:
        """Write the data set to ``folder`` and return the manifest's path.

        A folder already made with the same arguments is reused; one with other arguments is
        replaced once the new one is complete.

        Args:
            folder: Where the data set is written.
            make_row: Given a folder and an index, writes the files of a row to the folder and
                returns the row; called in several processes, hence picklable.
            card: Contents of the data set card.
            workers: Number of processes; by default, the number of cores, or one for few rows.

        Raises:
            ConfigError: if the folder contains other files.
        """
        if not self._is_complete(folder):
            self._check_replaceable(folder)
            target = Path(os.path.realpath(folder))
            fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
            try:
                self._build(fresh, make_row, card, workers)
                self._swap(fresh, target)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return folder / self._manifest

    @property
    def _manifest(self) -> str:
        return f"{self.name}.jsonl"

    @property
    def _card(self) -> str:
        return f"{self.name}.yaml"

    @property
    def _folders(self) -> list[str]:
        return sorted({*self.files, *self.former})

    def _build(
        self,
        folder: Path,
        make_row: Callable[[Path, int], Row],
        card: dict[str, Any],
        workers: int | None,
    ) -> None:
        folder.mkdir(parents=True)
        for media in self.files:
            (folder / media).mkdir()
        num = self.made_with["num"]
        card_fields = {**card, "made_with": self.made_with}
        with rows_in_order(partial(make_row, folder), num, workers) as rows:
            write_manifest(folder / self._manifest, track(rows, num, self.name), card=card_fields)

    def _is_complete(self, folder: Path) -> bool:
        if not (folder / self._manifest).is_file():
            return False
        if read_card(folder / self._card).other.get("made_with") != self.made_with:
            return False
        return all(
            (folder / media).is_dir() and len(os.listdir(folder / media)) == count
            for media, count in self.files.items()
        )

    def _check_replaceable(self, folder: Path) -> None:
        """Raise ConfigError unless a folder is absent, empty or a data set of the same name."""
        if not folder.exists():
            return
        if not folder.is_dir():
            raise ConfigError(f"out={folder}: is a file; choose a folder")
        others = sorted(set(os.listdir(folder)) - {self._manifest, self._card, *self._folders})
        others = others or self._unwritten(folder)
        is_generated = "made_with" in read_card(folder / self._card).other
        if others or (any(folder.iterdir()) and not is_generated):
            found = ", ".join(others[:3] or sorted(os.listdir(folder))[:3])
            raise ConfigError(
                f"out={folder}: contains other files ({found}); choose a new or empty folder"
            )

    def _unwritten(self, folder: Path) -> list[str]:
        """Return the files in the folders of media that the manifest there does not list."""
        listed: set[str] = set()
        if (folder / self._manifest).is_file():
            rows = [row for _, row in read_lines(folder / self._manifest)]
            listed = {str(row.get(key)) for row in rows if isinstance(row, dict) for key in MEDIA}
        existing = (f"{media}/{name}" for media in self._folders for name in _names(folder / media))
        return sorted(set(existing) - listed)

    def _swap(self, fresh: Path, target: Path) -> None:
        # keep the same data set made meanwhile by another process, which may be in use
        if self._is_complete(target):
            return
        old = target.with_name(f".{target.name}.{os.getpid()}.old")
        try:
            if target.exists():
                os.rename(target, old)
            os.rename(fresh, target)
        except OSError:
            if not self._is_complete(target):
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def check_numbers(num: int, size: int, seed: int) -> None:
    """Check that the numbers suffice for three splits and visible shapes.

    Raises:
        ConfigError: naming the minimums.
    """
    if num < _MIN_NUM or size < _MIN_SIZE or seed < 0:
        raise ConfigError(
            f"num={num} size={size} seed={seed}: the built-in data require num >= {_MIN_NUM}, "
            f"size >= {_MIN_SIZE} and seed >= 0"
        )


def split_of(index: int, num: int) -> str:
    """Return the split of a row: the last tenth is test, the tenth before it val."""
    return _split_start(index, num)[0]


def index_in_split(index: int, num: int) -> int:
    """Return the index of a row within its split."""
    return index - _split_start(index, num)[1]


def _split_start(index: int, num: int) -> tuple[str, int]:
    """Return the split of a row, and the index of the split's first row."""
    tenth = round(num / 10)
    for split, first in (("test", num - tenth), ("val", num - 2 * tenth)):
        if index >= first:
            return split, first
    return "train", 0
