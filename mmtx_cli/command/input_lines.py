"""Lines that a command gives, one an input; that of an input that cannot be read has an error."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import replaced
from mmtx_cli.io.jsonl import json_line

NOT_FINITE = "the model's scores of it are not finite numbers; try trainer.precision=32-true"
"""Why an input has no result, where numbers overflowed on the way through the model."""

Rows = Sequence[Mapping[str, Any]]


def write_quarantine(run_dir: Path, rows: Rows) -> None:
    """Name the files that could not be read in ``quarantine.jsonl``, by their paths."""
    path = run_dir / "quarantine.jsonl"
    with replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for row in rows:
            if "error" in row:
                fault = {"id": row["path"], "path": row["path"], "reason": row["error"]}
                file.write(json_line(fault) + "\n")


def end(run_dir: Path, rows: Rows, done: str) -> None:
    """Print the run folder, and how many inputs could not be read.

    Raises DataError if none could be ``done`` (such as "captioned").
    """
    print(run_dir)
    bad = sum("error" in row for row in rows)
    if bad == len(rows):
        raise DataError(f"none of the {len(rows)} inputs could be {done}; see {run_dir}")
    if bad:
        print(f"{bad} of {len(rows)} inputs could not be read", file=sys.stderr)
