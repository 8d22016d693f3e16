import json
import math

import pytest

from mmtx_cli.data.manifest.writer import write_manifest
from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import write_json
from mmtx_cli.io.jsonl import MAX_DEPTH, finite, json_line, parsed_json
from tests.messages import raises

NOT_NUMBERS = [math.nan, math.inf, -math.inf]


def strict(text):
    """JSON as other programs read it."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("number", NOT_NUMBERS)
def test_a_line_holds_no_other_numbers(number):
    for row in ({"a": number}, {"a": [number]}, {"a": {"b": number}}, {"\ud800": number}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_line(row)
        assert "null" in json_line(finite(row))


@pytest.mark.parametrize("number", NOT_NUMBERS)
def test_a_result_has_null_in_place_of_an_undefined_figure(number, tmp_path):
    content = {"metrics": {"a/pearson": number, "a/mae": 0.5}, "intervals": {"a": (number, 1)}}
    write_json(tmp_path / "result.json", content)
    assert strict((tmp_path / "result.json").read_text()) == {
        "metrics": {"a/pearson": None, "a/mae": 0.5},
        "intervals": {"a": [None, 1]},
    }


@pytest.mark.parametrize("number", NOT_NUMBERS)
def test_a_manifest_is_not_written_with_them(number, tmp_path):
    with raises(DataError, "row a: ", "NaN"):
        write_manifest(tmp_path / "m.jsonl", [{"id": "a", "split": "train", "label": number}])
    assert not [*tmp_path.iterdir()]


def test_plain_data_stay_as_they_are():
    value = {"a": [1, 2.5, None, True, "nan", {"b": []}]}
    assert finite(value) == value


@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")])
def test_levels_are_counted(opening, closing):
    def text(levels):
        return opening * levels + ("1" if closing == "}" else "") + closing * levels

    assert parsed_json(text(MAX_DEPTH))
    with pytest.raises(RecursionError):
        parsed_json(text(MAX_DEPTH + 1))
    wide = "[" + ",".join(["[]"] * 1000) + "]"
    assert len(parsed_json(wide)) == 1000
