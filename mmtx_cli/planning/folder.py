"""The folder of a run while it is planned, and the file with its plan."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import make_subfolder, write_json
from mmtx_cli.io.file_errors import reason

PLAN = "plan.json"
WORK = ".plan"


@contextmanager
def work_folder(run_dir: Path) -> Iterator[Path]:
    """Create a folder in the run folder, on the disk of the run, and remove it afterwards."""
    folder = run_dir / WORK
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if folder.is_dir() and not folder.is_symlink():  # of a plan that was killed
            shutil.rmtree(folder)
        make_subfolder(folder)
    except OSError as error:
        raise ConfigError(f"run_dir={run_dir}: cannot be written: {reason(error)}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # not empty
            run_dir.rmdir()


def write_plan(run_dir: Path, plan: Mapping[str, Any]) -> Path:
    """Write ``plan.json`` to the run folder, where it is no obstacle to the run."""
    run_dir.mkdir(parents=True, exist_ok=True)
    write_json(run_dir / PLAN, plan)
    return run_dir / PLAN


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
