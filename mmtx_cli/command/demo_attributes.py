"""Which attributes the demo's captions of films name correctly, and with which inputs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from mmtx_cli.atomic import replaced
from mmtx_cli.command.run_folder import write_json
from mmtx_cli.console import print_table
from mmtx_cli.data.events.attributes import attributes
from mmtx_cli.json_line import json_line
from mmtx_cli.metric.attribute import attribute_scores
from mmtx_cli.report.attributes import attribute_table

BOTH = "both_movements"
"""Both movements are right, and in the right order."""


def attribute_accuracy(
    predictions: Sequence[str], references: Sequence[str], resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Return the accuracy of each attribute of ``events.attributes``, JSON-compatible.

    A caption that does not name an attribute of its reference is wrong. An attribute that no
    reference names has no figure.

    Args:
        predictions: Generated captions of films, one a sample; at least one.
        references: The first reference of each sample, which names all that can be known of it.
        resamples: Bootstrap resamples behind the 95 % intervals.
        seed: Seed of the resampling.

    Returns:
        ``count`` samples, and by attribute ``counts`` (samples whose reference names it),
        ``metrics`` (accuracy in [0, 1]) and ``intervals``.
    """
    scores = attribute_scores(
        [attributes(caption) for caption in predictions],
        [attributes(caption) for caption in references],
        {BOTH: ("first_movement", "second_movement")},
    )
    counts = {name: int(np.isfinite(x).sum()) for name, x in scores.per_sample.items()}
    intervals = scores.intervals(resamples=resamples, seed=seed)
    return {
        "count": len(predictions),
        "counts": counts,
        "metrics": {name: x for name, x in scores.figures().items() if counts[name]},
        "intervals": {name: list(ends) for name, ends in intervals.items()},
    }


def write_attributes(run_dir: Path, evaluations: Mapping[str, Path], seed: int = 0) -> bool:
    """Write ``attributes.json`` from the predictions of evaluations, and print it as a table.

    Args:
        run_dir: Where ``attributes.json`` is written: ``attribute_accuracy`` by column.
        evaluations: Run folders of ``mmtx eval`` by the title of their column.
        seed: Seed of the intervals.

    Returns:
        Whether the evaluations have captions; if not, nothing is written.
    """
    columns = {}
    for title, folder in evaluations.items():
        pairs = list(captions(folder / "predictions.jsonl"))
        if not pairs:
            return False
        predictions, references = zip(*pairs, strict=True)
        columns[title] = attribute_accuracy(predictions, references, seed=seed)
    write_json(run_dir / "attributes.json", columns)
    if table := attribute_table(columns):
        shown = Table("attribute", *(c.title for c in table.columns), title="attributes named")
        for row in table.rows:
            shown.add_row(row.name, *row.cells)
        print_table(shown)
    return True


def captions(predictions: Path) -> Iterator[tuple[str, str]]:
    """Yield the caption and the first reference of each sample of a ``predictions.jsonl``."""
    for row in rows_of(predictions):
        for output in row.values():
            if isinstance(output, dict) and "caption" in output and output.get("references"):
                yield output["caption"], output["references"][0]
                break  # of several captioning heads the first


def add_references(captioned: Path, references: Mapping[str, str]) -> None:
    """Put the reference of each file, by its path, into the lines of a ``captions.jsonl``."""
    path = captioned / "captions.jsonl"
    rows = rows_of(path)
    for row in rows:
        if row["path"] in references:
            row["references"] = [references[row["path"]]]
    with replaced(path) as temporary:
        temporary.write_text("".join(json_line(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
