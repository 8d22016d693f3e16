"""Default run folders: named by timestamp and unique for each command."""

import os
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

TIMESTAMP_SUFFIX = "${now:%Y-%m-%d_%H-%M-%S}"
"""Suffix of every default ``run_dir`` in conf/."""


class DefaultFolders:
    """Creates the default run folder of a command; all jobs of a sweep share it."""

    def __init__(self) -> None:
        self._chosen: dict[str, str] = {}
        self._made: list[Path] = []

    def choose(self, cfg: DictConfig, plain: Mapping[str, Any]) -> None:
        """Replace a default ``run_dir`` with a newly created folder that no other command uses.

        ``plain`` is the configuration before interpolation. If the folder cannot be created, the
        error is reported when the run is opened.
        """
        default = str(plain.get("run_dir"))
        if not default.endswith(TIMESTAMP_SUFFIX) or not is_single_process():
            return
        with suppress(OSError):
            if default not in self._chosen:
                path = Path(os.path.abspath(os.path.expanduser(str(cfg.run_dir))))
                self._chosen[default] = str(self._create(path))
            cfg.run_dir = self._chosen[default]

    def _create(self, path: Path) -> Path:
        """Create and return ``path``, or ``path-2``, ``path-3``, … if it exists."""
        absent = [parent for parent in path.parents if not parent.exists()]
        folder = path
        for number in count(2):
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                if not os.path.lexists(folder):  # a parent is a broken symlink
                    raise
                folder = path.with_name(f"{path.name}-{number}")
        self._made += [folder, *absent]
        return folder

    def remove_empty(self) -> None:
        """Remove the folders that are still empty, for example after a configuration error."""
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()


def is_single_process() -> bool:
    """Return True unless a launcher started several processes, which must share one folder."""
    sizes = (os.environ.get(name, "1") for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    return all(size == "1" for size in sizes) and "NODE_RANK" not in os.environ
