"""The tables of figures on the terminal."""

import io
import re
import sys

import pytest

from mmtx_cli.io.console import FILE_WIDTH
from mmtx_cli.io.standard_streams import standard_output
from mmtx_cli.report.terminal import print_comparison, print_metrics, subset_table


def part(*names):
    return {"metrics": dict.fromkeys(names, 0.5), "intervals": dict.fromkeys(names, (0.4, 0.6))}


def test_every_head_is_shown_by_its_headlines_or_by_its_first_metric():
    measured = part("number/mae", "number/pearson", "label/top5_accuracy", "label/accuracy")
    table = subset_table({"image + audio": measured, "image": measured})
    shown = [column.header for column in table.columns]
    assert shown == ["modalities", "number/mae", "label/accuracy"]
    assert list(table.columns[1].cells) == ["0.500 [0.400, 0.600]"] * 2


METRICS = ("captioning/bleu_4", "captioning/cider", "label/accuracy")


def result(groups):
    one = part(*METRICS)
    parted = {f"group {i}": {"count": 10 + i, "metrics": one["metrics"]} for i in range(groups)}
    return {"count": 60, **one, "groups": parted, "baselines": {}, "unbeaten": {}, "cost": {}}


def rows(text, first):
    """The cells of every row that begins with a word."""
    found = [
        line.strip("│").split("│") for line in text.splitlines() if line.startswith(f"│ {first} ")
    ]
    return [[cell.strip() for cell in row] for row in found]


def test_a_wide_table_is_written_in_parts_that_fit(capsys):
    print_metrics(result(20))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= FILE_WIDTH
    assert all(f"group {i} ({10 + i})" in out for i in range(20))
    for metric in METRICS:
        cells = [cell for row in rows(out, metric) for cell in row if cell != metric]
        assert sorted(cells) == ["0.500"] * 20 + ["0.500 [0.400, 0.600]"]
    assert out.count("60 samples") == 1


def test_a_table_that_fits_is_one(capsys):
    print_metrics(result(2))
    assert len(rows(capsys.readouterr().out, METRICS[0])) == 1


@pytest.mark.parametrize("columns", [3, 30])
def test_long_names_are_not_wrapped_in_a_file(columns, capsys):
    name = "fusion=" + "x" * 150
    header = ["group", *(f"figure {i}" for i in range(columns))]
    print_comparison(header, [[name, *("0.123 [0.100, 0.200]" for _ in header[1:])]], [["A", name]])
    out = capsys.readouterr().out
    found = rows(out, name)
    assert sum(len(row) - 1 for row in found) == columns
    assert f"  {name}\n" in out  # the settings in full, on one line


def test_a_narrow_terminal_gets_parts_too(monkeypatch):
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", out)
    with standard_output():
        print_metrics(result(6))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert max(map(len, shown.splitlines())) <= 60
    assert all(f"group {i} ({10 + i})" in shown for i in range(6))
