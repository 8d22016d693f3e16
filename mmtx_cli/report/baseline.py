"""Table of baselines next to the model, by the headline metric of each head."""

from collections.abc import Mapping
from typing import Any

from mmtx_cli.metric.direction import headlines
from mmtx_cli.report.metric_table import Column, MetricRow, MetricTable
from mmtx_cli.report.rounding import is_number, rounded, signed

COLUMNS = ("value [95 % interval]", "model minus baseline [95 % interval]")


def baseline_table(result: Mapping[str, Any]) -> MetricTable | None:
    """Return a row for the model and one per baseline, for each head; None without baselines."""
    parts = _mapping(result.get("baselines"))
    metrics, intervals = _mapping(result.get("metrics")), _mapping(result.get("intervals"))
    rows = []
    for metric in headlines(metrics).values():
        baseline_rows = [
            MetricRow(metric, name, [_value(part, metric), _difference(part, metric)])
            for name, part in parts.items()
            if is_number(_mapping(_mapping(part).get("metrics")).get(metric))
        ]
        if baseline_rows:
            model = [rounded(metrics[metric], intervals.get(metric)), ""]
            rows += [MetricRow(metric, "model", model), *baseline_rows]
    return MetricTable([Column(name) for name in COLUMNS], rows, []) if rows else None


def unbeaten_sentences(result: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each head whose model is not better than some baseline."""
    return [str(sentence) for sentence in _mapping(result.get("unbeaten")).values()]


def _value(part: Mapping[str, Any], metric: str) -> str:
    return rounded(part["metrics"][metric], _mapping(part.get("intervals")).get(metric))


def _difference(part: Mapping[str, Any], metric: str) -> str:
    difference = _mapping(_mapping(part.get("difference")).get(metric))
    if not difference:
        return ""
    low, high = difference["interval"]
    return f"{signed(difference['value'])} [{signed(low)}, {signed(high)}]"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
