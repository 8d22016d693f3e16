"""The comparison of groups of runs: one table as Markdown, CSV and a self-contained page."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmtx_cli.metric.comparison import Compared
from mmtx_cli.report.html import render, write_page
from mmtx_cli.report.rounding import amount
from mmtx_cli.report.scatter import Point, scatter_svg
from mmtx_cli.weights import replaced

Costs = Mapping[str, Mapping[str, float | None]]
SHOWN = {
    "parameters": "parameters",
    "flops_per_sample": "FLOPs a sample",
    "train_seconds": "training, s",
    "samples_per_second": "samples a second",
    "peak_memory_mb": "peak memory, MB",
}
AGAINST = ("parameters", "flops_per_sample", "train_seconds")
NOTE = (
    "Difference: mean over the runs minus that of the baseline, with a 95 % interval of a "
    "bootstrap over samples and runs; p: two-sided, adjusted by Holm's procedure for the number "
    "of groups."
)


def write_comparison(
    run_dir: Path,
    metric: str,
    baseline: str,
    compared: Sequence[Compared],
    costs: Costs,
    lower_is_better: bool,
) -> Path:
    """Write ``comparison.md``, ``comparison.csv`` and ``comparison.html``; give the page's path.

    The best group comes first.
    """
    order = sorted(compared, key=lambda row: row.mean if lower_is_better else -row.mean)
    header, rows = table(metric, baseline, order, costs)
    lines = [header, ["---"] * len(header), *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    with replaced(run_dir / "comparison.md") as temporary:
        temporary.write_text(f"{text}\n\n{NOTE}\n", encoding="utf-8")
    write_csv(run_dir / "comparison.csv", metric, order, costs)
    page = render(
        "comparison.html.j2",
        title=f"Comparison by {metric}",
        header=header,
        rows=rows,
        note=NOTE,
        plots=[plot for cost in AGAINST if (plot := against(cost, metric, order, costs))],
    )
    return write_page(run_dir / "comparison.html", page)


def table(
    metric: str, baseline: str, order: Sequence[Compared], costs: Costs
) -> tuple[list[str], list[list[str]]]:
    """Header and cells, as people read them."""
    known = [name for name in SHOWN if any(costs[row.name][name] is not None for row in order)]
    header = ["", "runs", f"{metric} ± sd", f"difference from {baseline}", "p"]
    header += [SHOWN[name] for name in known]
    rows = []
    for row in order:
        figure = f"{row.mean:.4g}" + (f" ± {row.sd:.2g}" if row.sd is not None else "")
        gap, p = "", ""
        if row.name == baseline:
            gap = "baseline"
        elif row.difference and row.p is not None:
            d = row.difference
            gap, p = f"{d.mean:+.3g} [{d.low:+.3g}, {d.high:+.3g}]", f"{row.p:.2g}"
        cells = [amount(costs[row.name][name]) for name in known]
        rows.append([row.name, str(row.runs), figure, gap, p, *cells])
    return header, rows


def write_csv(path: Path, metric: str, order: Sequence[Compared], costs: Costs) -> None:
    """All figures in full."""
    with replaced(path) as half, open(half, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["group", "runs", metric, "sd", "difference", "low", "high", "p", *SHOWN])
        for row in order:
            d = row.difference
            gap = [d.mean, d.low, d.high, row.p] if d else [""] * 4
            cells = ["" if x is None else x for x in (costs[row.name][name] for name in SHOWN)]
            sd = "" if row.sd is None else row.sd
            out.writerow([row.name, row.runs, row.mean, sd, *gap, *cells])


def against(
    cost: str, metric: str, order: Sequence[Compared], costs: Costs
) -> tuple[str, str] | None:
    """Title and plot of the metric against a cost; None where the cost is not known."""
    found = [(row, costs[row.name][cost]) for row in order]
    points = [
        Point(row.name.rpartition("=")[2], x, row.mean, row.sd or 0.0) for row, x in found if x
    ]
    if len(points) < 2:
        return None
    return f"{metric} against {SHOWN[cost]}", scatter_svg(points, SHOWN[cost], metric)
