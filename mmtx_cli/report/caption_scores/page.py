"""``report.html`` of ``mmtx score``: one file without external files, network access or scripts."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.report.caption_scores.samples import SamplePart, cards
from mmtx_cli.report.caption_scores.tables import (
    metric_table,
    pair_tables,
    parameters,
    rating_table,
)
from mmtx_cli.report.html import render, write_page
from mmtx_cli.report.plots.histogram import Histogram, histogram
from mmtx_cli.report.run_reader import read_run_folder
from mmtx_cli.report.section import facts
from mmtx_cli.report.sound import Sounds
from mmtx_cli.report.thumbnail import Thumbnails


def write_scores_page(
    run_dir: Path,
    result: Mapping[str, Any],
    per_sample: Mapping[str, Mapping[str, np.ndarray]],
    parts: Sequence[SamplePart],
    metric: str | None,
) -> Path:
    """Write the page into the run folder, and return its path.

    Args:
        run_dir: The run folder, whose other files are written.
        result: The content of ``result.json``.
        per_sample: System to its values per sample by metric.
        parts: The samples to show.
        metric: The metric by which they are ranked; None if there is none.
    """
    run = read_run_folder(run_dir)
    with closing(Thumbnails()) as thumbnails, closing(Sounds()) as sounds:
        galleries = [(part.title, cards(part, thumbnails, sounds)) for part in parts]
    names = list(per_sample)
    page = render(
        "scores.html.j2",
        title=f"Scores of {', '.join(names)}",
        facts=facts(run),
        notes=list(result.get("notes", [])),
        table=metric_table(result),
        pairs_of_systems=pair_tables(result),
        agreement=rating_table(result),
        histograms=_histograms(per_sample, metric),
        galleries=galleries,
        measure=metric or "",
        parameters=parameters(result),
        config=run.config.strip(),
        environment={key: str(value) for key, value in run.environment.items()},
    )
    return write_page(run_dir / "report.html", page)


def _histograms(
    per_sample: Mapping[str, Mapping[str, np.ndarray]], metric: str | None
) -> list[Histogram]:
    """Return plots of the ranking metric and of the lengths."""
    chosen = {"length": "length in tokens"}
    if metric is not None:
        chosen = {metric: metric} | chosen
    found = (
        histogram(title, {system: own[key] for system, own in per_sample.items()})
        for key, title in chosen.items()
        if all(key in own for own in per_sample.values())
    )
    return [plot for plot in found if plot is not None]
