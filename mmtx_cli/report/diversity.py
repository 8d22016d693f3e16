"""Table and warning about the diversity of generated captions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmtx_cli.report.metric_table import Column, MetricRow, MetricTable
from mmtx_cli.report.rounding import is_number, percent, rounded

_ROWS = {
    "captions": ("count", rounded),
    "distinct captions": ("distinct", rounded),
    "share of distinct captions": ("distinct_share", percent),
    "samples with the most frequent caption": ("most_frequent_count", rounded),
    "share of samples with the most frequent caption": ("most_frequent_share", percent),
    "captions found in the training data": ("in_training_count", rounded),
    "share of captions found in the training data": ("in_training_share", percent),
    "distinct captions found in the training data": ("distinct_in_training", rounded),
}


@dataclass(frozen=True)
class DiversityPart:
    """Caption diversity of one head; ``most_frequent`` is the most frequent caption by column."""

    title: str
    table: MetricTable
    most_frequent: dict[str, str]
    warning: str


def diversity_parts(result: Mapping[str, Any]) -> list[DiversityPart]:
    """Return a part for each head in ``diversity`` of a ``result.json``."""
    diversity = result.get("diversity")
    if not isinstance(diversity, dict):
        return []
    heads = {name: part for name, part in diversity.items() if isinstance(part, dict)}
    return [
        _part("Caption diversity" + (f" of “{name}”" if len(heads) > 1 else ""), figures)
        for name, figures in heads.items()
    ]


def _part(title: str, figures: Mapping[str, Any]) -> DiversityPart:
    columns = {"generated": figures}
    if isinstance(references := figures.get("references"), dict):
        columns["first references"] = references
    rows = [
        MetricRow("", name, [_cell(part.get(key), formatter) for part in columns.values()])
        for name, (key, formatter) in _ROWS.items()
        if key in figures
    ]
    return DiversityPart(
        title=title,
        table=MetricTable([Column(name) for name in columns], rows, []),
        most_frequent={name: str(part.get("most_frequent", "")) for name, part in columns.items()},
        warning=str(figures.get("warning", "")),
    )


def _cell(value: Any, formatter: Any) -> str:
    return formatter(value) if is_number(value) else ""
