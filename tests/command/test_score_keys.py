"""Keys of ``mmtx score`` that would have no effect, or name nothing."""

import pytest

from mmtx_cli.command.score import run
from mmtx_cli.errors import ConfigError, DataError
from tests.command.test_score import config, prediction_lines, reference_lines
from tests.messages import raises


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("refs.json", "predictions.json"):
        is_reference = name == "refs.json"
        content = reference_lines() if is_reference else prediction_lines()
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"training_split": "train"}, ("training_split", "training=FILE")),
        ({"rating_columns": ["human"]}, ("rating_columns", "ratings=FILE")),
        ({"images": "absent"}, ("images=absent", "no such folder")),
        ({"training": "./refs.json"}, ("training=./refs.json", "training_split=train")),
        ({"training": "link.json"}, ("training=link.json", "training_split=train")),
        ({"systems": [None]}, ("systems", "one name of its own")),
        ({"prediction_columns": {"caption": 999_999_999}}, ("caption=999999999", "number from 1")),
        ({"systems": [" "]}, ("systems", "one name of its own")),
    ],
)
def test_a_key_without_effect_is_a_fault(folder, settings, parts):
    (folder / "link.json").symlink_to("refs.json")
    with raises((ConfigError, DataError), *parts):
        run(config(**settings))
    assert not (folder / "runs").exists()
