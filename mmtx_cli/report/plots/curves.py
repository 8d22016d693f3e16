"""Training curves: assign the columns of ``metrics.csv`` to plots."""

import math
from dataclasses import dataclass
from typing import Any

from mmtx_cli.metric.direction import lower_is_better
from mmtx_cli.report.plots.svg import Series, curves_svg, is_banded
from mmtx_cli.report.rounding import rounded

SPLITS = ("train", "val", "test")
LOG_FROM = 30  # max/min ratio from which a linear axis hides the end of training


@dataclass(frozen=True)
class Curve:
    """One plot: a quantity, its lines (train, val, …) and a sentence that summarizes them."""

    name: str
    lines: list[Series]
    summary: str
    small: bool
    svg: str


def curves(rows: list[dict[str, Any]]) -> list[Curve]:
    """Plot every quantity of ``metrics.csv`` that has at least two points, losses first."""
    quantities: dict[str, list[Series]] = {}
    for column in dict.fromkeys(name for row in rows for name in row):
        if column in ("step", "epoch"):
            continue
        split, _, rest = column.partition("/")
        name, line = (rest, split) if split in SPLITS and rest else (column, "")
        series = _series(rows, column, line)
        if series.values:
            quantities.setdefault(name, []).append(series)
    drawn = [
        _curve(name, sorted(series, key=lambda line: line.color))
        for name, series in quantities.items()
        if max(len(line.values) for line in series) > 1
    ]
    return sorted(drawn, key=lambda curve: (curve.small, _loss_order(curve.name)))


def _series(rows: list[dict[str, Any]], column: str, line: str) -> Series:
    """Return the finite values of a column over its steps (else epochs, else row numbers)."""
    points = []
    for number, row in enumerate(rows):
        step = _number(row.get("step", row.get("epoch", number)))
        value = _number(row.get(column))
        if step is not None and value is not None:
            points.append((step, value))
    points.sort(key=lambda point: point[0])
    color = SPLITS.index(line) if line else 0
    return Series(line, [step for step, _ in points], [value for _, value in points], color)


def _curve(name: str, series: list[Series]) -> Curve:
    values = [value for line in series for value in line.values]
    log = min(values) > 0 and max(values) / min(values) >= LOG_FROM
    small = not any(line.name for line in series)  # without a split: learning rate, speed
    summary = "; ".join(_sentence(line, lower_is_better(name)) for line in series)
    if log and not small:
        summary += " (logarithmic)"
    if any(is_banded(line) for line in series):
        summary += "; band: minimum and maximum around each step"
    return Curve(
        name,
        series,
        summary,
        small,
        curves_svg(series, log=log and not small, small=small),
    )


def _sentence(line: Series, improves_downwards: bool) -> str:
    last = f"{rounded(line.values[-1])} at step {rounded(round(line.steps[-1]))}"
    text = f"{line.name} {last}".strip()
    if not (improves_downwards and line.name == "val"):
        return text
    best = min(range(len(line.values)), key=line.values.__getitem__)
    if line.values[best] >= line.values[-1]:
        return text
    where = rounded(round(line.steps[best]))
    return f"{text}, lowest {rounded(line.values[best])} at step {where}"


def _number(cell: Any) -> float | None:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _loss_order(name: str) -> int:
    return 0 if name == "loss" else 1 if name.endswith("loss") else 2
