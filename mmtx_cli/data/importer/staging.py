"""Files of an import that are put in their place only once every row is known to be sound."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Staging:
    """A temporary folder beside ``final``, whose files go there all together.

    Importers write to ``folder`` and name its files in their rows; ``placed`` gives the path that
    such a file has in the end. Other files in ``final`` are left alone.
    """

    def __init__(self, final: str | Path) -> None:
        """Nothing is made before an importer writes to ``folder``."""
        self.final = Path(os.path.abspath(final))
        self.folder = self.final.with_name(f".{self.final.name}.{os.getpid()}.tmp")

    def placed(self, path: str) -> str:
        """The path in the end; of a file, or in a message that names one."""
        return path.replace(str(self.folder), str(self.final))

    @contextmanager
    def removed(self) -> Iterator[None]:
        """At the end the folder goes, and so do the folders above that were made for it."""
        above = [path for path in self.folder.parents if not path.exists()]
        try:
            yield
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            for path in above:
                try:
                    path.rmdir()
                except OSError:  # there is something in it, or it was never made
                    break

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the files in their place; if what follows fails, everything is as it was before."""
        files = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        old = self.folder / "old"
        moved: list[Path] = []
        made = bool(files) and not self.final.exists()
        try:
            if files:
                old.mkdir()
                self.final.mkdir(exist_ok=True)
            for file in files:
                target = self.final / file.name
                if target.exists():
                    os.replace(target, old / file.name)
                moved.append(target)
                os.replace(file, target)
            yield
        except BaseException:
            for target in moved:
                target.unlink(missing_ok=True)
                if (old / target.name).exists():
                    os.replace(old / target.name, target)
            if made:
                self.final.rmdir()
            raise
