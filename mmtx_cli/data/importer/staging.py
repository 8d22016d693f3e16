"""Temporary storage of an importer's files until all rows are validated."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Staging:
    """A temporary folder beside ``final``, whose files are moved there together.

    Importers write to ``folder`` and use its paths in their rows; ``placed`` converts them to the
    final paths. Other files in ``final`` are kept.
    """

    def __init__(self, final: str | Path) -> None:
        """Set the paths; the folder itself is created by the importer when it first writes."""
        self.final = Path(os.path.abspath(final))
        self.folder = self.final.with_name(f".{self.final.name}.{os.getpid()}.tmp")

    def placed(self, path: str) -> str:
        """Replace the temporary folder by the final one, in a path or in a message."""
        return path.replace(str(self.folder), str(self.final))

    @contextmanager
    def removed(self) -> Iterator[None]:
        """On exit, remove the temporary folder and the parent folders created for it."""
        new_parents = [path for path in self.folder.parents if not path.exists()]
        try:
            yield
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            for path in new_parents:
                try:
                    path.rmdir()
                except OSError:  # not empty, or never created
                    break

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Move the files to ``final``; restore the previous state if the body fails."""
        files = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        backup = self.folder / "old"
        moved: list[Path] = []
        created = bool(files) and not self.final.exists()
        try:
            if files:
                backup.mkdir()
                self.final.mkdir(exist_ok=True)
            for file in files:
                target = self.final / file.name
                if target.exists():
                    os.replace(target, backup / file.name)
                moved.append(target)
                os.replace(file, target)
            yield
        except BaseException:
            for target in moved:
                target.unlink(missing_ok=True)
                if (backup / target.name).exists():
                    os.replace(backup / target.name, target)
            if created:
                self.final.rmdir()
            raise
