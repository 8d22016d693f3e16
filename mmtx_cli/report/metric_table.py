"""Table of a run's metrics with intervals, by group, and next to baselines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmtx_cli.metric.direction import headlines, lower_is_better
from mmtx_cli.report.rounding import is_number, rounded

MAX_HEADLINES = 4


@dataclass(frozen=True)
class Column:
    """A column of values; ``note`` is its number of samples."""

    title: str
    note: str = ""
    baseline: bool = False


@dataclass(frozen=True)
class MetricRow:
    """One metric ``head/name``, with one cell per column, empty where the column lacks it."""

    head: str
    name: str
    cells: list[str]


@dataclass(frozen=True)
class Headline:
    """A metric that is shown large, with its interval and the best baseline."""

    name: str
    value: str
    interval: str
    baseline: str


@dataclass(frozen=True)
class MetricTable:
    """A table of metrics, and the headlines shown above it."""

    columns: list[Column]
    rows: list[MetricRow]
    headlines: list[Headline]


def metric_table(result: dict[str, Any]) -> MetricTable | None:
    """Convert metrics, intervals, groups and baselines into a table; None without metrics."""
    overall = (Column("all", _note(result)), _mapping(result, "metrics"), result)
    groups = [
        (Column(str(name), _note(part)), _mapping(part, "metrics"), part)
        for name, part in _mapping(result, "groups").items()
    ]
    baselines: list[tuple[Column, dict[str, Any], Any]] = [
        (Column(str(name), baseline=True), _mapping(part, "metrics"), part)
        for name, part in _mapping(result, "baselines").items()
    ]
    table = [overall, *groups, *baselines]
    names = dict.fromkeys(name for _, metrics, _ in [overall, *groups] for name in metrics)
    if not names:
        return None
    return MetricTable([column for column, _, _ in table], _rows(names, table), _headlines(result))


def subset_table(result: dict[str, Any]) -> MetricTable | None:
    """Convert the metrics on each subset of the modalities into a table; None without any."""
    table = [
        (Column(str(name)), _mapping(part, "metrics"), part)
        for name, part in _mapping(result, "subsets").items()
    ]
    names = dict.fromkeys(name for _, metrics, _ in table for name in metrics)
    if not names:
        return None
    return MetricTable([column for column, _, _ in table], _rows(names, table), [])


def _rows(
    names: Iterable[str], table: Sequence[tuple[Column, dict[str, Any], Any]]
) -> list[MetricRow]:
    """Return one row per metric, with one cell per column."""
    rows = []
    for key in names:
        head, _, name = key.rpartition("/")
        cells = [
            rounded(metrics[key], _mapping(part, "intervals").get(key)) if key in metrics else ""
            for _, metrics, part in table
        ]
        rows.append(MetricRow(head, name, cells))
    return rows


def _headlines(result: dict[str, Any]) -> list[Headline]:
    metrics, intervals = _mapping(result, "metrics"), _mapping(result, "intervals")
    found = []
    for key in [*headlines(metrics).values()][:MAX_HEADLINES]:
        value, _, interval = rounded(metrics[key], intervals.get(key)).partition(" ")
        found.append(Headline(key, value, interval, _best_baseline(result, key)))
    return found


def _best_baseline(result: dict[str, Any], key: str) -> str:
    found = [
        (metrics[key], name)
        for name, part in _mapping(result, "baselines").items()
        if is_number((metrics := _mapping(part, "metrics")).get(key))
    ]
    if not found:
        return ""
    best = min if lower_is_better(key) else max
    value, name = best(found, key=lambda pair: pair[0])
    return f"baseline {rounded(value)} ({name})"


def _note(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    count = part.get("val_count", part.get("count"))  # for training: validation samples
    return "" if count is None else f"n = {rounded(count)}"


def _mapping(part: Any, key: str) -> dict[str, Any]:
    """Return a dictionary whatever the file holds: a malformed file must not stop the report."""
    value = part.get(key) if isinstance(part, dict) else None
    return value if isinstance(value, dict) else {}
