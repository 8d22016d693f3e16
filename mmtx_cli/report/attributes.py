"""Table of the accuracy of the attributes named in captions."""

from collections.abc import Mapping
from typing import Any

from mmtx_cli.report.metric_table import Column, MetricRow, MetricTable
from mmtx_cli.report.rounding import rounded

TITLES = {
    "color": "color",
    "shape": "shape",
    "first_movement": "first movement",
    "second_movement": "second movement",
    "both_movements": "both movements in order",
    "sound": "sound",
    "when": "time of the sound",
}


def attribute_table(columns: Mapping[str, Any]) -> MetricTable | None:
    """Convert an ``attributes.json`` into a table: a row per attribute, a column per evaluation.

    The first column is the number of samples on which the attribute is scored, which may differ
    between the evaluations. Return None if there is nothing to show.
    """
    parts = {title: part for title, part in columns.items() if _is_part(part)}
    if not parts:
        return None
    rows = []
    for name, title in TITLES.items():
        counts = dict.fromkeys(part["counts"].get(name) or 0 for part in parts.values())
        if any(counts):
            cells = [
                rounded(part["metrics"].get(name), part["intervals"].get(name))
                for part in parts.values()
            ]
            rows.append(MetricRow("", title, [", ".join(map(rounded, counts)), *cells]))
    headings = [Column("samples"), *(Column(title) for title in parts)]
    return MetricTable(headings, rows, []) if rows else None


def _is_part(part: Any) -> bool:
    keys = ("counts", "metrics", "intervals")
    return isinstance(part, dict) and all(isinstance(part.get(key), dict) for key in keys)
