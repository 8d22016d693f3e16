"""The baselines as a table, and what an odd file gives."""

import pytest

from mmtx_cli.report.baseline import baseline_table, unbeaten_sentences

from .test_metric_table import RESULT


def test_the_model_stands_above_each_heads_baselines() -> None:
    table = baseline_table(RESULT)
    assert table is not None
    assert [(row.head, row.name, *row.cells) for row in table.rows] == [
        ("caption/cider", "model", "3.21 [3.02, 3.40]", ""),
        ("caption/cider", "first", "0.120", ""),
        ("caption/cider", "second", "0.30 [0.20, 0.40]", "+2.90 [+2.70, +3.10]"),
    ]
    assert unbeaten_sentences(RESULT) == ["caption/cider is not better than nothing."]


@pytest.mark.parametrize(
    "result",
    [{}, {"baselines": 3}, {"metrics": {"a/accuracy": 1.0}, "baselines": {"b": 1, "c": {}}}],
)
def test_without_baselines_there_is_no_table(result: dict) -> None:
    assert baseline_table(result) is None
    assert unbeaten_sentences(result) == []
