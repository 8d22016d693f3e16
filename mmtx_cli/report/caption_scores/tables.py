"""The numbers of ``mmtx score`` as tables of text, for the page and the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmtx_cli.metric.direction import has_direction, lower_is_better
from mmtx_cli.report.metric_table import Column, Headline, MetricRow, MetricTable
from mmtx_cli.report.metric_table import metric_table as one_system
from mmtx_cli.report.rounding import MISSING, is_number, percent, rounded

PEOPLE = "first references"
COEFFICIENTS = {"kendall_b": "Kendall τ-b", "kendall_c": "Kendall τ-c", "spearman": "Spearman ρ"}


def metric_table(result: Mapping[str, Any]) -> MetricTable:
    """Return a row per metric: each system with intervals, and the first references."""
    systems = result.get("systems") or {"": result}
    people = result.get("first_references", {}).get("metrics", {})
    names = dict.fromkeys(name for part in systems.values() for name in part["metrics"])
    rows = []
    for name in names:
        cells = [cell(part, name) for part in systems.values()]
        rows.append(
            MetricRow("", shown(name), [*cells, *([plain(people.get(name))] if people else [])])
        )
    columns = [Column(name or "captions", f"n = {result['count']:,}") for name in systems]
    if people:
        columns.append(Column(PEOPLE, "by people", baseline=True))
    return MetricTable(columns, rows, _headlines(result))


def _headlines(result: Mapping[str, Any]) -> list[Headline]:
    """Return the headline metric of each system."""
    systems = result.get("systems") or {"": result}
    found = []
    for system, part in systems.items():
        table = one_system(dict(part))
        for item in table.headlines if table else []:
            title = f"{system}: {short(item.name)}" if system else short(item.name)
            found.append(Headline(title, item.value, item.interval, ""))
    return found


def cell(part: Mapping[str, Any], name: str) -> str:
    """Return a metric of a system with its interval, if it has one."""
    return rounded(part["metrics"].get(name), part["intervals"].get(name))


def plain(value: Any) -> str:
    """Return a number, or nothing."""
    return rounded(value) if is_number(value) else ""


def short(name: str) -> str:
    """Return a metric without ``caption/``."""
    return name.rpartition("/")[2]


def shown(name: str) -> str:
    """Return a metric with an arrow in the direction that is better, if there is one."""
    arrow = "" if not has_direction(name) else " ↓" if lower_is_better(name) else " ↑"
    return short(name) + arrow


@dataclass(frozen=True)
class DifferenceRow:
    """One metric of a pair of systems, as text; ``wins`` are percentages a, ties, b."""

    metric: str
    a: str
    b: str
    difference: str
    p: str
    verdict: str
    wins: tuple[float, float, float] | None

    @property
    def win_text(self) -> str:
        """Return the shares of samples that each system wins, and of ties."""
        return "" if self.wins is None else " / ".join(percent(share) for share in self.wins)


@dataclass(frozen=True)
class PairTable:
    """The differences between two systems."""

    a: str
    b: str
    rows: list[DifferenceRow]


def pair_tables(result: Mapping[str, Any]) -> list[PairTable]:
    """Return a table for each pair of systems."""
    systems = result.get("systems", {})
    tables = []
    for part in result.get("pairs", []):
        a, b = part["a"], part["b"]
        rows = [
            DifferenceRow(
                shown(name),
                rounded(systems[a]["metrics"].get(name)),
                rounded(systems[b]["metrics"].get(name)),
                signed_interval(own["value"], own["interval"]),
                MISSING if own["adjusted_p"] is None else p_value(own["adjusted_p"]),
                verdict(a, b, name, own),
                _wins(own["win_rate"]),
            )
            for name, own in part["differences"].items()
        ]
        tables.append(PairTable(a, b, rows))
    return tables


def _wins(rate: Mapping[str, float] | None) -> tuple[float, float, float] | None:
    return None if rate is None else (rate["wins"], rate["ties"], rate["losses"])


def verdict(a: str, b: str, name: str, difference: Mapping[str, Any]) -> str:
    """Return in words what a difference shows.

    Args:
        a: Name of the first system.
        b: Name of the second system.
        name: Name of the metric.
        difference: A part of ``pairs`` in ``result.json``.
    """
    if difference["shown"] is None:
        return "not tested"
    if not difference["shown"]:
        return "no difference shown"
    if difference["better"] is not None:
        return f"{difference['better']} is better"
    return f"{a if difference['value'] > 0 else b} is higher"


def p_value(p: float) -> str:
    """Return a p-value with two digits."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.995 else "1"


def signed_interval(value: float | None, interval: Any) -> str:
    """Return a difference with signs on it and on its interval."""
    text = rounded(value, interval)
    if value is None:
        return text
    figures = [value, *(interval or ())]
    parts = text.replace("[", "").replace("]", "").split()
    if len(parts) != len(figures):
        return text
    marked = [
        part if part.startswith("-") or figure <= 0 else f"+{part}"
        for part, figure in zip((part.rstrip(",") for part in parts), figures, strict=True)
    ]
    return marked[0] if len(marked) == 1 else f"{marked[0]} [{marked[1]}, {marked[2]}]"


def rating_table(result: Mapping[str, Any]) -> MetricTable | None:
    """Return a row per metric with its rank correlations with human ratings; None without any."""
    ratings = result.get("ratings")
    if not ratings:
        return None
    rows = [
        MetricRow(
            "",
            short(name),
            [
                rounded(own[key]["value"], own[key]["interval"]) if own else MISSING
                for key in COEFFICIENTS
            ],
        )
        for name, own in ratings["correlations"].items()
    ]
    note = f"{ratings['judgements']:,} ratings of {ratings['captions']:,} captions"
    columns = [Column(title) for title in COEFFICIENTS.values()]
    columns[0] = Column(columns[0].title, note)
    return MetricTable(columns, rows, [])


def parameters(result: Mapping[str, Any]) -> dict[str, str]:
    """Return what each family of metrics used, as text; what differs, with the system's name."""
    parts = dict(result.get("parameters", {}))
    for system, part in result.get("systems", {}).items():
        for family, own in part.get("parameters", {}).items():
            parts[f"{family} ({system})"] = own
    texts = {name: _listed(own) for name, own in parts.items()}
    return {name: text for name, text in texts.items() if text}


def _listed(own: Mapping[str, Any]) -> str:
    """Return names and values; those without any, such as stages that are missing, are left out."""
    filled = {key: _value(value) for key, value in own.items() if value is not None}
    return ", ".join(f"{key} {text}" for key, text in filled.items() if text not in ("", "()"))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {_value(item)}" for key, item in value.items()) + ")"
    if isinstance(value, list | tuple):
        return " ".join(map(_value, value))
    return str(value)
