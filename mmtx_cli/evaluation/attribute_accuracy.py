"""Accuracy of the attributes in the demo's video captions, by input modalities."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from mmtx_cli.io.atomic import atomic_write, write_json
from mmtx_cli.io.console import print_table
from mmtx_cli.io.jsonl import json_line
from mmtx_cli.metric.attribute import attribute_scores
from mmtx_cli.report.attributes import attribute_table
from mmtx_cli.synthetic.events.attributes import attributes

BOTH = "both_movements"
"""Both movements are correct, in the right order."""


class CaptionedFilm(NamedTuple):
    """A generated caption, its first reference, and the modalities that the model was given."""

    caption: str
    reference: str
    inputs: Collection[str]

    def known(self) -> dict[str, str | None]:
        """Return the attributes of the reference that can be known from the inputs.

        References describe the whole video: without image and video input, their color and shape
        cannot be known. (If a sample has no audio or no video, its reference names no sound or no
        movement.)
        """
        found = attributes(self.reference)
        if not {"image", "video"} & {*self.inputs}:
            found |= {"color": None, "shape": None}
        return found


def attribute_accuracy(
    films: Sequence[CaptionedFilm], resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Return the accuracy of each attribute of ``events.attributes``, JSON-compatible.

    An attribute is scored on the videos whose reference names it and whose inputs show it; a
    caption that does not name it is wrong. Attributes that are scored on no video have no metric.

    Args:
        films: At least one.
        resamples: Number of bootstrap resamples for the 95 % intervals.
        seed: Seed of the resampling.

    Returns:
        ``count`` of videos, and by attribute ``counts`` (videos it is scored on), ``metrics``
        (accuracy in [0, 1]) and ``intervals``.
    """
    scores = attribute_scores(
        [attributes(film.caption) for film in films],
        [film.known() for film in films],
        {BOTH: ("first_movement", "second_movement")},
    )
    counts = {name: int(np.isfinite(x).sum()) for name, x in scores.per_sample.items()}
    intervals = scores.intervals(resamples=resamples, seed=seed)
    return {
        "count": len(films),
        "counts": counts,
        "metrics": {name: x for name, x in scores.metrics().items() if counts[name]},
        "intervals": {name: list(ends) for name, ends in intervals.items()},
    }


def write_attributes(run_dir: Path, evaluations: Mapping[str, Path], seed: int = 0) -> bool:
    """Write ``attributes.json`` from the predictions of evaluations, and print it as a table.

    Args:
        run_dir: Folder to write ``attributes.json`` to: ``attribute_accuracy`` by column.
        evaluations: Run folders of ``mmtx eval`` by the title of their column.
        seed: Seed of the intervals.

    Returns:
        Whether the evaluations have captions; if not, nothing is written.
    """
    columns = {}
    for title, folder in evaluations.items():
        films = list(captioned_films(folder / "predictions.jsonl"))
        if not films:
            return False
        columns[title] = attribute_accuracy(films, seed=seed)
    write_json(run_dir / "attributes.json", columns)
    if table := attribute_table(columns):
        shown = Table("attribute", *(c.title for c in table.columns), title="attribute accuracy")
        for row in table.rows:
            shown.add_row(row.name, *row.cells)
        print_table(shown)
    return True


def captioned_films(predictions: Path) -> Iterator[CaptionedFilm]:
    """Yield the samples of a ``predictions.jsonl`` that have a caption and references."""
    for row in rows_of(predictions):
        for output in row.values():
            if isinstance(output, dict) and "caption" in output and output.get("references"):
                yield CaptionedFilm(output["caption"], output["references"][0], row["inputs"])
                break  # the first captioning head if there are several


def add_references(captioned: Path, references: Mapping[str, str]) -> None:
    """Add the reference of each file, given by path, to the lines of a ``captions.jsonl``."""
    path = captioned / "captions.jsonl"
    rows = rows_of(path)
    for row in rows:
        if row["path"] in references:
            row["references"] = [references[row["path"]]]
    with atomic_write(path) as temporary:
        temporary.write_text("".join(json_line(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
