"""Output lines of a command, one per input; unreadable inputs have an ``error``."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.jsonl import json_line

NOT_FINITE = "the model's scores are not finite; try trainer.precision=32-true"
"""Error of an input whose outputs are not finite, such as after an overflow in half precision."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class CaptionedBatch:
    """Texts of a batch of inputs.

    Args:
        ids: Numbers of the inputs, as strings.
        read_errors: Files that could not be read: ``id``, ``path`` and ``reason``.
        texts: The predictions of a captioning head; those of unreadable inputs mean nothing.
    """

    ids: Sequence[str]
    read_errors: Sequence[Mapping[str, str]]
    texts: Sequence[dict[str, Any]]


def write_quarantine(run_dir: Path, rows: Rows) -> None:
    """Write the unreadable files to ``quarantine.jsonl``, with their paths as ids."""
    path = run_dir / "quarantine.jsonl"
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for row in rows:
            if "error" in row:
                fault = {"id": row["path"], "path": row["path"], "reason": row["error"]}
                file.write(json_line(fault) + "\n")


def print_outcome(run_dir: Path, rows: Rows, done: str) -> None:
    """Print the run folder, and how many inputs could not be read.

    Raises DataError if none could be ``done`` (such as "captioned").
    """
    print(run_dir)
    bad = sum("error" in row for row in rows)
    if bad == len(rows):
        raise DataError(f"none of the {len(rows)} inputs could be {done}; see {run_dir}")
    if bad:
        print(f"{bad} of {len(rows)} inputs could not be read", file=sys.stderr)


def sample_fields(
    sample: Any, modalities: Sequence[str], text: str, vectors: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the id and the model inputs of a sample, for ``predictions.jsonl``.

    Args:
        sample: The sample.
        modalities: Modalities that the model reads.
        text: Column of the texts, of which evaluation takes the first.
        vectors: Modalities that are read as precomputed features; the location of the features is
            shown along with the media.
    """
    from mmtx_cli.data.manifest.feature_reference import place_row
    from mmtx_cli.data.text.columns import column_texts

    ((*texts,),) = column_texts([sample], text)
    inputs = {"image": list(sample.image), "video": sample.video, "audio": sample.audio}
    inputs |= {"text": texts[0] if texts else None}
    shown: dict[str, Any] = {name: x for name, x in inputs.items() if x and name in modalities}
    if places := {name: place_row(x) for name, x in sample.features.items() if name in vectors}:
        shown["features"] = places
    if shown.keys() & {"video", "audio"}:
        shown |= {k: x for k in ("start", "end") if (x := getattr(sample, k)) is not None}
    row = {"id": sample.id, "inputs": shown}
    return row | ({"group": sample.group} if sample.group else {})
