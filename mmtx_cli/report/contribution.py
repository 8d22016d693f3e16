"""Table of how much each modality contributes."""

from typing import Any

from mmtx_cli.metric.direction import has_direction, headline, lower_is_better
from mmtx_cli.report.metric_table import Column, MetricRow, MetricTable
from mmtx_cli.report.rounding import is_number, rounded, signed

KINDS = {
    "shuffled": "from another sample",
    "zeroed": "zeroed",
    "absent": "removed",
    "alone": "alone",
    "probe": "linear probe",
}
"""Column headings, in order: what was done to a modality."""


def main_metric(by_modality: dict[str, Any]) -> str | None:
    """Return the headline metric, or else the first one measured."""
    for kinds in by_modality.values():
        for part in kinds.values():
            return headline(part["metrics"]) or next(iter(part["metrics"]), None)
    return None


def unused_modalities(contribution: Any) -> list[str]:
    """Return a sentence for each head and modality whose content makes no difference.

    That is the case if shuffling the modality across samples does not make the metric worse: the
    interval of the change is not entirely on the worse side of zero.
    """
    if not isinstance(contribution, dict):
        return []
    sentences = []
    for head, by_modality in contribution.items():
        metric = main_metric(by_modality)
        for modality, kinds in by_modality.items():
            part = kinds.get("shuffled")
            if metric is None or not isinstance(part, dict) or metric not in part["intervals"]:
                continue
            if not has_direction(metric):  # of a user's head: direction unknown
                continue
            low, high = part["intervals"][metric]
            if (low <= 0) if lower_is_better(metric) else (high >= 0):
                change = f"{signed(part['change'][metric])} [{signed(low)}, {signed(high)}]"
                sentences.append(
                    f"{head} does not use {modality}: {metric} is not worse with {modality} from "
                    f"another sample ({change})."
                )
    return sentences


def contribution_table(contribution: Any) -> MetricTable | None:
    """Return a row per head and modality, a column for each thing that was done to the modality."""
    if not isinstance(contribution, dict):
        return None
    rows = []
    for head, by_modality in contribution.items():
        metric = main_metric(by_modality)
        for modality, kinds in by_modality.items():
            cells = [cell(kinds.get(kind), metric) for kind in KINDS]
            rows.append(MetricRow(f"{head}/{metric}", modality, cells))
    return MetricTable([Column(title) for title in KINDS.values()], rows, []) if rows else None


def cell(part: Any, metric: str | None) -> str:
    """Format the metric and, on a second line, its change with the interval."""
    if not isinstance(part, dict) or not is_number(part["metrics"].get(metric)):
        return ""
    shown = rounded(part["metrics"][metric])
    if metric not in part.get("change", {}):
        return shown
    low, high = part["intervals"][metric]
    return f"{shown}\n{signed(part['change'][metric])} [{signed(low)}, {signed(high)}]"
