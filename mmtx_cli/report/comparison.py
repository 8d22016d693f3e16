"""Comparison of groups of runs as Markdown, CSV and a self-contained HTML page."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtx_cli.io.atomic import replaced
from mmtx_cli.metric.run_comparison import Compared
from mmtx_cli.report.html import render, write_page
from mmtx_cli.report.plots.scatter import Point, scatter_svg
from mmtx_cli.report.rounding import amount

SHOWN = {
    "parameters": "parameters",
    "flops_per_sample": "FLOPs per sample",
    "train_seconds": "training time, s",
    "samples_per_second": "samples per second",
    "peak_memory_mb": "peak memory, MB",
}
AGAINST = ("parameters", "flops_per_sample", "train_seconds")
BARS = "Bars: ± one standard deviation over the runs of a group."
NOTE = (
    "± sd: standard deviation over the runs of a group. Difference: mean over the runs minus that "
    "of the baseline, with a 95 % bootstrap interval over samples and runs; p: two-sided, "
    "adjusted by Holm's procedure for the number of groups."
)


@dataclass(frozen=True)
class Comparison:
    """Groups of runs, best first.

    Args:
        metric: Metric that is compared.
        baseline: Name of the group that the others are compared with.
        groups: Statistics of each group.
        costs: Costs of each group; None if unknown.
        settings: Settings in which each group differs from others, by config path.
    """

    metric: str
    baseline: str
    groups: Sequence[Compared]
    costs: Mapping[str, Mapping[str, float | None]]
    settings: Mapping[str, Mapping[str, str]]


def write_comparison(run_dir: Path, comparison: Comparison) -> Path:
    """Write ``comparison.md``, ``.csv`` and ``.html`` into a folder; return the page's path."""
    header, rows = table(comparison)
    explained = legend(comparison)
    parts = [markdown(header, rows), NOTE]
    if explained:
        parts.append(markdown(["group", "settings"], explained))
    with replaced(run_dir / "comparison.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    write_csv(run_dir / "comparison.csv", comparison)
    page = render(
        "comparison.html.j2",
        title=f"Comparison by {comparison.metric}",
        header=header,
        rows=rows,
        note=NOTE,
        legend=explained,
        plots=[plot for cost in AGAINST if (plot := against(cost, comparison))],
        bars=BARS if any(row.sd is not None for row in comparison.groups) else "",
    )
    return write_page(run_dir / "comparison.html", page)


def table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the header and the cells, formatted for reading."""
    groups, costs = comparison.groups, comparison.costs
    known = [name for name in SHOWN if any(costs[row.name][name] is not None for row in groups)]
    header = ["group", "runs", f"{comparison.metric} ± sd"]
    header += [f"difference from {comparison.baseline}", "p", *(SHOWN[name] for name in known)]
    rows = []
    for row in groups:
        figure = f"{row.mean:.4g}" + (f" ± {row.sd:.2g}" if row.sd is not None else "")
        gap, p = "", ""
        if row.name == comparison.baseline:
            gap = "baseline"
        elif row.difference and row.p is not None:
            d = row.difference
            gap, p = f"{d.mean:+.3g} [{d.low:+.3g}, {d.high:+.3g}]", f"{row.p:.2g}"
        cells = [amount(costs[row.name][name]) for name in known]
        rows.append([row.name, str(row.runs), figure, gap, p, *cells])
    return header, rows


def legend(comparison: Comparison) -> list[list[str]]:
    """Return each group with its full settings; empty if the names already show them."""
    rows = [
        [row.name, " ".join(f"{k}={v}" for k, v in comparison.settings[row.name].items())]
        for row in comparison.groups
    ]
    return rows if any(name != full for name, full in rows) else []


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def write_csv(path: Path, comparison: Comparison) -> None:
    """Write all values at full precision, with a column for each setting in which groups differ."""
    keys = list(dict.fromkeys(key for own in comparison.settings.values() for key in own))
    with replaced(path) as half, open(half, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        header = ["group", "runs", comparison.metric, "sd", "difference", "low", "high", "p"]
        out.writerow([*header, *SHOWN, *keys])
        for row in comparison.groups:
            d, costs = row.difference, comparison.costs[row.name]
            gap = [d.mean, d.low, d.high, row.p] if d else [""] * 4
            cells = ["" if costs[name] is None else costs[name] for name in SHOWN]
            sd = "" if row.sd is None else row.sd
            chosen = [comparison.settings[row.name].get(key, "") for key in keys]
            out.writerow([row.name, row.runs, row.mean, sd, *gap, *cells, *chosen])


def against(cost: str, comparison: Comparison) -> tuple[str, str] | None:
    """Return title and plot of the metric against a cost; None with fewer than two known costs."""
    found = [(row, comparison.costs[row.name][cost]) for row in comparison.groups]
    points = [Point(row.name, x, row.mean, row.sd or 0.0) for row, x in found if x]
    if len(points) < 2:
        return None
    metric = comparison.metric
    return f"{metric} against {SHOWN[cost]}", scatter_svg(points, SHOWN[cost], metric)
