from typing import Any

import pytest

from mmtx_cli.report.metric_table import metric_table, subset_table

RESULT = {
    "metrics": {"caption/cider": 3.2134, "loss": 0.5},
    "intervals": {"caption/cider": [3.02, 3.4]},
    "groups": {"unseen": {"count": 10, "metrics": {"caption/cider": 2.5, "caption/extra": 1}}},
    "baselines": {
        "first": {"metrics": {"caption/cider": 0.12}},
        "second": {
            "metrics": {"caption/cider": 0.3},
            "intervals": {"caption/cider": [0.2, 0.4]},
            "difference": {"caption/cider": {"value": 2.9, "interval": [2.7, 3.1]}},
        },
    },
    "unbeaten": {"caption": "caption/cider is not better than nothing."},
    "count": 1234,
}


def test_has_a_column_a_group_and_a_baseline() -> None:
    table = metric_table(RESULT)
    assert table is not None
    assert [column.title for column in table.columns] == ["all", "unseen", "first", "second"]
    assert [column.note for column in table.columns] == ["n = 1,234", "n = 10", "", ""]
    rows = [(row.head, row.name, *row.cells) for row in table.rows]
    assert rows == [
        ("caption", "cider", "3.21 [3.02, 3.40]", "2.50", "0.120", "0.30 [0.20, 0.40]"),
        ("", "loss", "0.500", "", "", ""),
        ("caption", "extra", "", "1", "", ""),
    ]


def test_headlines_name_the_best_baseline() -> None:
    table = metric_table(RESULT)
    assert table is not None
    (cider,) = table.headlines
    assert (cider.value, cider.interval) == ("3.21", "[3.02, 3.40]")
    assert cider.baseline == "baseline 0.300 (second)"


@pytest.mark.parametrize(
    "result",
    [{}, {"metrics": None}, {"metrics": [1], "groups": 3, "baselines": {"a": 1}}],
)
def test_without_metrics_there_is_no_table(result: dict[str, Any]) -> None:
    assert metric_table(result) is None


def test_a_column_a_subset_of_the_modalities() -> None:
    part = {"metrics": {"label/accuracy": 0.5}, "intervals": {"label/accuracy": [0.4, 0.6]}}
    table = subset_table({"subsets": {"image + audio": part, "image": {"metrics": {"loss": 1}}}})
    assert table is not None
    assert [column.title for column in table.columns] == ["image + audio", "image"]
    rows = [(row.name, *row.cells) for row in table.rows]
    assert rows == [("accuracy", "0.50 [0.40, 0.60]", ""), ("loss", "", "1")]
    assert subset_table({"subsets": {}}) is None
