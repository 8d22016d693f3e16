"""The content of a report section, from one run folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmtx_cli.report.attributes import attribute_table
from mmtx_cli.report.baseline import baseline_table, unbeaten_sentences
from mmtx_cli.report.contribution import contribution_table, unused_modalities
from mmtx_cli.report.cost import costs
from mmtx_cli.report.diversity import DiversityPart, diversity_parts
from mmtx_cli.report.explanations import Explanations, explanations
from mmtx_cli.report.gallery import Gallery, Part, captions_part, galleries
from mmtx_cli.report.metric_table import MetricTable, metric_table, subset_table
from mmtx_cli.report.plots.curves import Curve, curves
from mmtx_cli.report.rounding import rounded
from mmtx_cli.report.run_reader import RunFolder
from mmtx_cli.report.sound import Sounds
from mmtx_cli.report.thumbnail import Thumbnails

MAX_QUARANTINE = 200


@dataclass(frozen=True)
class Section:
    """The content of one run for the template; what the run lacks is empty."""

    title: str
    facts: list[tuple[str, str]]
    table: MetricTable | None
    baselines: MetricTable | None
    unbeaten: list[str]
    subsets: MetricTable | None
    contribution: MetricTable | None
    unused: list[str]
    warnings: list[str]
    diversity: list[DiversityPart]
    attributes: MetricTable | None
    curves: list[Curve]
    galleries: list[Gallery]
    captions: Part | None
    explanations: Explanations | None
    quarantine: list[dict[str, str]]
    num_quarantined: int
    config: str
    environment: dict[str, str]
    faults: list[str]

    @property
    def empty(self) -> bool:
        """Whether the run folder has nothing to show."""
        shown = (self.table, self.attributes, self.curves, self.galleries, self.captions)
        return not any((*shown, self.quarantine, self.config, self.environment))


def section(
    title: str, run: RunFolder, gallery: int, thumbnails: Thumbnails, sounds: Sounds
) -> Section:
    """Convert the files of a run into tables, curves and galleries.

    Args:
        title: Title of the section.
        run: The content of the run folder.
        gallery: Number of cards in each part of a gallery.
        thumbnails: Creates the thumbnails.
        sounds: Creates the audio clips.
    """
    quarantine = [
        {key: str(row.get(key) or "") for key in ("path", "reason", "id")}
        for row in run.quarantine[:MAX_QUARANTINE]
    ]
    return Section(
        title=title,
        facts=facts(run),
        table=metric_table(run.result),
        baselines=baseline_table(run.result),
        unbeaten=unbeaten_sentences(run.result),
        subsets=subset_table(run.result),
        contribution=contribution_table(run.result.get("contribution")),
        unused=unused_modalities(run.result.get("contribution")),
        warnings=warnings_of(run.result),
        diversity=diversity_parts(run.result),
        attributes=attribute_table(run.attributes),
        curves=curves(run.metrics),
        galleries=galleries(run.predictions, gallery, thumbnails, sounds),
        captions=captions_part(run.captions, 3 * gallery, thumbnails, sounds)
        if run.captions
        else None,
        explanations=explanations(run.path, run.captions, gallery),
        quarantine=quarantine,
        num_quarantined=len(run.quarantine),
        config=run.config.strip(),
        environment=dict(_flatten(run.environment)),
        faults=run.faults,
    )


def facts(run: RunFolder) -> list[tuple[str, str]]:
    """Return names and values: what ran, when, over how many samples and at what cost."""
    command, count = (run.result.get(key) for key in ("command", "count"))
    found = [
        ("command", f"mmtx {command}" if command else ""),
        ("finished", run.when),
        ("samples", rounded(count) if count is not None else ""),
        *costs(run.result),
    ]
    return [(name, value) for name, value in found if value]


def _flatten(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs = []
    for key, item in value.items():
        if isinstance(item, dict):
            pairs += _flatten(item, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", "" if item is None else str(item)))
    return pairs


def warnings_of(result: Mapping[str, Any]) -> list[str]:
    """Return the warnings of a training run, which may come from someone else."""
    found = result.get("warnings")
    return [str(text) for text in found] if isinstance(found, list) else []
