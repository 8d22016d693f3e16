import pytest

from mmtx_cli.report.caption_scores.tables import (
    metric_table,
    pair_tables,
    parameters,
    rating_table,
    shown,
    signed_interval,
    verdict,
)


def difference(value=0.1, p=0.01, better="a"):
    return {
        "value": value,
        "interval": [value - 0.05, value + 0.05],
        "p": p,
        "adjusted_p": p,
        "shown": None if p is None else p < 0.05,
        "better": better,
        "win_rate": {"wins": 0.5, "losses": 0.25, "ties": 0.25},
    }


RESULT = {
    "count": 1200,
    "systems": {
        "a": {"metrics": {"caption/cider": 0.5, "caption/vocabulary": 9}, "intervals": {}},
        "b": {"metrics": {"caption/cider": 0.4}, "intervals": {"caption/cider": [0.35, 0.45]}},
    },
    "pairs": [{"a": "a", "b": "b", "differences": {"caption/cider": difference()}}],
    "first_references": {"metrics": {"caption/vocabulary": 12}},
    "parameters": {"overlap": {"tokenizer": "ptb", "stages": ["exact", "stem"]}, "other": {}},
}


def test_systems_and_people_are_columns():
    table = metric_table(RESULT)
    assert [(column.title, column.note) for column in table.columns] == [
        ("a", "n = 1,200"),
        ("b", "n = 1,200"),
        ("first references", "by people"),
    ]
    rows = {row.name: row.cells for row in table.rows}
    assert rows == {
        "cider ↑": ["0.500", "0.400 [0.350, 0.450]", ""],
        "vocabulary ↑": ["9", "–", "12"],
    }
    assert [item.name for item in table.headlines] == ["a: cider", "b: cider"]


@pytest.mark.parametrize(
    ("name", "text"), [("cider", "cider ↑"), ("empty", "empty ↓"), ("length", "length")]
)
def test_arrows_of_directions(name, text):
    assert shown(f"caption/{name}") == text


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("cider", {}, "a is better"),
        ("cider", {"p": 0.2, "better": None}, "no difference shown"),
        ("cider", {"p": None, "better": None}, "not tested"),
        ("length", {"better": None}, "a is higher"),
        ("length", {"value": -1.0, "better": None}, "b is higher"),
    ],
)
def test_verdicts(name, values, words):
    assert verdict("a", "b", name, difference(**values)) == words


def test_pairs():
    (pair,) = pair_tables(RESULT)
    (row,) = pair.rows
    assert (row.a, row.b, row.difference) == ("0.500", "0.400", "+0.100 [+0.050, +0.150]")
    assert (row.p, row.verdict, row.win_text) == ("0.01", "a is better", "50 % / 25 % / 25 %")
    assert pair_tables({}) == []


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (0.1, [-0.1, 0.3], "+0.10 [-0.10, +0.30]"),
        (-0.1, [-0.3, -0.05], "-0.10 [-0.30, -0.05]"),
        (78, None, "+78"),
        (-0.02, None, "-0.020"),
        (1234.5, [1000.0, 2000.0], "+1,234 [+1,000, +2,000]"),
        (None, None, "–"),
    ],
)
def test_signs(value, interval, text):
    assert signed_interval(value, interval) == text


def test_agreement():
    own = {"value": 0.4, "interval": [0.3, 0.5]}
    keys = ("kendall_b", "kendall_c", "spearman")
    result = {
        "ratings": {
            "captions": 10,
            "judgements": 30,
            "correlations": {"caption/cider": dict.fromkeys(keys, own), "caption/empty": None},
        }
    }
    table = rating_table(result)
    assert [row.cells for row in table.rows] == [["0.40 [0.30, 0.50]"] * 3, ["–"] * 3]
    assert "30 ratings of 10 captions" in table.columns[0].note
    assert rating_table({}) is None


def test_parameters_are_words():
    assert parameters(RESULT) == {"overlap": "tokenizer ptb, stages exact stem"}
