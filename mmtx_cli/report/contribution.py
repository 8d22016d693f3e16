"""How much each modality contributes, as a table for a page."""

from typing import Any

from mmtx_cli.report.metric_table import Column, MetricRow, MetricTable
from mmtx_cli.report.rounding import is_number, rounded, signed

KINDS = {
    "shuffled": "of another sample",
    "zeroed": "zeroed",
    "absent": "taken away",
    "alone": "alone",
    "probe": "linear probe on it",
}
"""What was done to a modality, in words; in the order of the columns."""


def main_metric(by_modality: dict[str, Any]) -> str | None:
    """The metric that is shown: the first that was measured."""
    for kinds in by_modality.values():
        for part in kinds.values():
            return next(iter(part["metrics"]), None)
    return None


def contribution_table(contribution: Any) -> MetricTable | None:
    """A row a head and modality, a column for each thing that was done to it."""
    if not isinstance(contribution, dict):
        return None
    rows = []
    for head, by_modality in contribution.items():
        metric = main_metric(by_modality)
        for modality, kinds in by_modality.items():
            cells = [cell(kinds.get(kind), metric) for kind in KINDS]
            rows.append(MetricRow(f"{head}/{metric}", modality, cells))
    return MetricTable([Column(words) for words in KINDS.values()], rows, []) if rows else None


def cell(part: Any, metric: str | None) -> str:
    """The metric, and on a line below how it changed with its interval."""
    if not isinstance(part, dict) or not is_number(part["metrics"].get(metric)):
        return ""
    shown = rounded(part["metrics"][metric])
    if metric not in part.get("change", {}):
        return shown
    low, high = part["intervals"][metric]
    return f"{shown}\n{signed(part['change'][metric])} [{signed(low)}, {signed(high)}]"
