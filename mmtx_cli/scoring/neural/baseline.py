"""Files of baselines for BERTScore: the score of unrelated texts by layer."""

import csv
from dataclasses import dataclass
from pathlib import Path

from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted.bounded_file import MAX_CONFIG_BYTES, read_text

COLUMNS = ("LAYER", "P", "R", "F")


@dataclass(frozen=True)
class Baseline:
    """Baselines ``values`` of precision, recall and F1, from the file ``path``."""

    path: str
    values: tuple[float, float, float]


def read_baseline(path: str, layer: int) -> Baseline:
    """Return the baselines of a layer from a file of the bert-score package (``LAYER,P,R,F``).

    Raises:
        DataError: if it cannot be read, or does not have the layer.
    """
    try:
        lines = read_text(Path(path).expanduser(), MAX_CONFIG_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"bertscore.baseline={path}: cannot be read ({error})") from error
    rows = list(csv.reader(lines))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise DataError(f"{path}:1: the columns must be {','.join(COLUMNS)}")
    for number, row in enumerate(rows[1:], 2):
        try:
            own, *values = [float(cell) for cell in row]
        except ValueError as error:
            raise DataError(f"{path}:{number}: must be four numbers") from error
        if len(values) != 3 or not all(-1 <= value < 1 for value in values):
            raise DataError(f"{path}:{number}: must be four numbers, the last three below 1")
        if own == layer:
            return Baseline(path, (values[0], values[1], values[2]))
    raise DataError(f"{path}: has no row for layer {layer} (bertscore.layer)")
