from pathlib import Path

import pytest

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.systems import system_names
from tests.messages import raises


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.jsonl", "b.json"], ["a", "b"]),
        (["beam/predictions.jsonl", "greedy/predictions.jsonl"], ["beam", "greedy"]),
        (["x/a.json", "x/b.json", "y/b.json"], ["x/a", "x/b", "y/b"]),
        (["1/x/a.json", "2/x/a.json"], ["1/x/a.json", "2/x/a.json"]),
    ],
)
def test_names_are_short_and_different(paths, names):
    assert system_names([Path(path) for path in paths]) == names


def test_a_file_given_twice_is_no_second_system():
    with raises(DataError, "predictions", "a.json"):
        system_names([Path("a.json"), Path("a.json")])
