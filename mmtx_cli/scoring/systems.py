"""The captions of each system by name."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.files.caption_file import Columns
from mmtx_cli.scoring.files.load import Loaded, load
from mmtx_cli.scoring.files.read import read_references
from mmtx_cli.scoring.settings import ScoreSettings


def read_systems(settings: ScoreSettings) -> tuple[dict[str, Captions], Loaded]:
    """Return the captions by the name of their system, and what the files contain.

    Raises:
        DataError: with all errors of all files.
    """
    names = settings.systems or system_names(settings.predictions)
    loaded = load(settings)
    return dict(zip(names, loaded.systems, strict=True)), loaded


def read_captions(
    paths: Sequence[Path], split: str | None = None, columns: Columns | None = None
) -> dict[str, list[str]]:
    """Return the captions of files of references by id.

    Args:
        paths: The files.
        split: Split of a manifest whose rows are selected.
        columns: Columns named by the user.

    Raises:
        DataError: with all errors of the files.
    """
    file = read_references(paths, split, columns)
    if faults := file.messages():
        raise DataError(*faults)
    return file.captions


def system_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file: its stem or folder, as short as keeps all names different.

    Raises:
        DataError: if a file is given twice.
    """
    forms = (
        [path.stem for path in paths],
        [path.absolute().parent.name for path in paths],
        [f"{path.absolute().parent.name}/{path.stem}" for path in paths],
        [str(path) for path in paths],
    )
    for names in forms:
        if all(names) and len({*names}) == len(names):
            return names
    repeated = next(name for name, count in Counter(map(str, paths)).items() if count > 1)
    raise DataError(f"predictions: {repeated} is given twice; give each file once")
