"""Comparison of groups of runs as Markdown, CSV and a self-contained HTML page."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.metric.run_comparison import Compared
from mmtx_cli.report.html import render, write_page
from mmtx_cli.report.plots.scatter import Point, scatter_svg
from mmtx_cli.report.rounding import amount

COST_TITLES = {
    "parameters": "parameters",
    "flops_per_sample": "FLOPs per sample",
    "train_seconds": "training time, s",
    "samples_per_second": "samples per second",
    "peak_memory_mb": "peak memory, MB",
}
PLOTTED_COSTS = ("parameters", "flops_per_sample", "train_seconds")
BARS = "Bars: ± one standard deviation over the runs of a group."
NOTE = (
    "± sd: standard deviation over the runs of a group. Difference: mean over the runs minus that "
    "of the baseline, with a 95 % bootstrap interval over samples and runs; p: two-sided, "
    "adjusted by Holm's procedure for the number of groups. Both are missing for a metric that is "
    "not a mean over samples, such as BLEU."
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
    legend_rows = legend(comparison)
    parts = [markdown(header, rows), NOTE]
    if legend_rows:
        parts.append(markdown(["group", "settings"], legend_rows))
    with atomic_write(run_dir / "comparison.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    write_csv(run_dir / "comparison.csv", comparison)
    page = render(
        "comparison.html.j2",
        title=f"Comparison by {comparison.metric}",
        header=header,
        rows=rows,
        note=NOTE,
        legend=legend_rows,
        plots=[plot for cost in PLOTTED_COSTS if (plot := cost_plot(cost, comparison))],
        bars=BARS if any(row.sd is not None for row in comparison.groups) else "",
    )
    return write_page(run_dir / "comparison.html", page)


def table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the header and the cells, formatted for reading."""
    groups, costs = comparison.groups, comparison.costs
    known = [
        name for name in COST_TITLES if any(costs[row.name][name] is not None for row in groups)
    ]
    header = ["group", "runs", f"{comparison.metric} ± sd"]
    header += [
        f"difference from {comparison.baseline}",
        "p",
        *(COST_TITLES[name] for name in known),
    ]
    rows = []
    for row in groups:
        value = f"{row.mean:.4g}" + (f" ± {row.sd:.2g}" if row.sd is not None else "")
        difference, p = "", ""
        if row.name == comparison.baseline:
            difference = "baseline"
        elif row.difference and row.p is not None:
            d = row.difference
            difference, p = f"{d.mean:+.3g} [{d.low:+.3g}, {d.high:+.3g}]", f"{row.p:.2g}"
        cells = [amount(costs[row.name][name]) for name in known]
        rows.append([row.name, str(row.runs), value, difference, p, *cells])
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
    keys = list(dict.fromkeys(key for settings in comparison.settings.values() for key in settings))
    with (
        atomic_write(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        header = ["group", "runs", comparison.metric, "sd", "difference", "low", "high", "p"]
        writer.writerow([*header, *COST_TITLES, *keys])
        for row in comparison.groups:
            d, costs = row.difference, comparison.costs[row.name]
            statistics = [d.mean, d.low, d.high, row.p] if d else [""] * 4
            cells = ["" if costs[name] is None else costs[name] for name in COST_TITLES]
            sd = "" if row.sd is None else row.sd
            settings_cells = [comparison.settings[row.name].get(key, "") for key in keys]
            writer.writerow(
                [row.name, row.runs, row.mean, sd, *statistics, *cells, *settings_cells]
            )


def cost_plot(cost: str, comparison: Comparison) -> tuple[str, str] | None:
    """Return title and plot of the metric against a cost; None with fewer than two known costs."""
    found = [(row, comparison.costs[row.name][cost]) for row in comparison.groups]
    points = [Point(row.name, x, row.mean, row.sd or 0.0) for row, x in found if x]
    if len(points) < 2:
        return None
    metric = comparison.metric
    return f"{metric} against {COST_TITLES[cost]}", scatter_svg(points, COST_TITLES[cost], metric)
