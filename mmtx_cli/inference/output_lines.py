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


def described(
    sample: Any, given: Sequence[str], text: str, vectors: Sequence[str] = ()
) -> dict[str, Any]:
    """What a reader of predictions.jsonl needs to know of a sample: what the model was given.

    ``text`` is the column of its texts, of which evaluation takes the first. Of the modalities in
    ``vectors`` the model was given features; what these are of is shown beside them.
    """
    from mmtx_cli.data.manifest.feature_reference import place_row
    from mmtx_cli.data.text.columns import column_texts

    ((*texts,),) = column_texts([sample], text)
    inputs = {"image": list(sample.image), "video": sample.video, "audio": sample.audio}
    inputs |= {"text": texts[0] if texts else None}
    shown: dict[str, Any] = {name: x for name, x in inputs.items() if x and name in given}
    if places := {name: place_row(x) for name, x in sample.features.items() if name in vectors}:
        shown["features"] = places
    if shown.keys() & {"video", "audio"}:
        shown |= {k: x for k in ("start", "end") if (x := getattr(sample, k)) is not None}
    row = {"id": sample.id, "inputs": shown}
    return row | ({"group": sample.group} if sample.group else {})
