"""The table, the legend and the plots of a comparison."""

import csv
import re

from mmtx_cli.metric.run_comparison import Compared
from mmtx_cli.metric.significance import Difference
from mmtx_cli.report.comparison import Comparison, write_comparison

NAMES = ("fusion concat, depth 1, batch_size 32, fit crop, …", "fusion film, depth 2, …")


def comparison(runs=2, names=NAMES, settings=None):
    sd = 0.01 if runs > 1 else None
    groups = [
        Compared(names[0], runs, 0.9, sd, None, None),
        Compared(names[1], runs, 0.8, sd, Difference(-0.1, -0.2, 0.0, 0.04), 0.04),
    ]
    costs = dict.fromkeys(
        ("parameters", "flops_per_sample", "train_seconds", "samples_per_second"), 1e6
    )
    known = {name: {**costs, "peak_memory_mb": None} for name in names}
    full = settings or {name: {"fusion": "a|b", "data.path": "/x" * 200} for name in names}
    return Comparison("c/accuracy", names[0], groups, known, full)


def test_omitted_parts_of_names_are_listed_below(tmp_path):
    page = write_comparison(tmp_path, comparison()).read_text()
    assert page.index("fusion=a|b data.path=/x") > page.index("</table>")
    text = (tmp_path / "comparison.md").read_text()
    for name in NAMES:
        assert f'<th scope="row">{name}</th><td><code>fusion=a|b data.path=/x' in page
        assert f"| {name} | fusion=a\\|b data.path=/x" in text
    with open(tmp_path / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["group"] for row in rows] == [*NAMES]
    assert rows[0]["data.path"] == "/x" * 200


def test_complete_names_need_no_legend(tmp_path):
    names = ("fusion=sum", "fusion=film")
    settings = {name: {"fusion": name.partition("=")[2]} for name in names}
    page = write_comparison(tmp_path, comparison(names=names, settings=settings)).read_text()
    assert "<code>" not in page.partition("</table>")[2]


def test_plots_explain_their_bars(tmp_path):
    """Where there are any: one run has no deviation."""
    page = write_comparison(tmp_path, comparison()).read_text()
    assert len(re.findall(r"Bars: [^.<]*standard deviation", page)) == 3
    assert "Bars:" not in write_comparison(tmp_path, comparison(runs=1)).read_text()


def test_points_are_called_by_the_whole_name(tmp_path):
    page = write_comparison(tmp_path, comparison()).read_text()
    plot = re.search(r"<svg.*?</svg>", page, re.S)[0]
    lines = [line.strip() for line in re.findall(r"<text[^>]*>([^<]*)</text>", plot)]
    for name in NAMES:
        start = next(i for i, line in enumerate(lines) if line and name.startswith(line))
        assert " ".join(lines[start : start + 3]).startswith(name)


def test_a_long_name_breaks_and_figures_do_not(tmp_path):
    """The page's style, as far as it can be seen without a browser."""
    page = write_comparison(tmp_path, comparison()).read_text()
    assert ".compared tbody td { white-space: nowrap; }" in page
    assert not re.search(r"\.compared tbody :is\(th, td\) { white-space: nowrap", page)
    assert re.search(r'<div class="scroll"[^>]*>\s*<table class="compared">', page)
