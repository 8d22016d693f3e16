"""Settings of a trained model that is used from Python."""

import pytest

from mmtx_cli.errors import ConfigError
from mmtx_cli.runs.trained_model import (
    check_caption,
    check_predict,
    chosen_generation,
    trained_config,
)
from tests.messages import raises
from tests.predicting import model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(model_folder(tmp_path_factory.mktemp("trained") / "m", ["captioning"], ["image"]))


def test_chosen_settings_change_those_of_the_model(folder):
    run = trained_config(folder, {"generation": {"num_beams": 4, "length_penalty": 0.5}})
    assert chosen_generation(run, {}) == run.generation
    found = chosen_generation(run, {"token_scores": True})
    assert (found.num_beams, found.length_penalty, found.token_scores) == (4, 0.5, True)
    drawn = chosen_generation(run, {"do_sample": True, "top_p": 0.5})
    assert (drawn.num_beams, drawn.length_penalty, drawn.top_p) == (None, 0.5, 0.5)
    assert run.generation.num_beams == 4


def test_all_faults_of_the_settings_are_reported(folder):
    run = trained_config(folder, {})
    with raises(ConfigError, "generation.num_beams: 'x'", "generation.tempratur", "'temperature'"):
        chosen_generation(run, {"num_beams": "x", "tempratur": 1.0})


def test_what_a_call_lacks_or_has_too_much(folder):
    run = trained_config(folder, {})
    check_caption(run, {"text": None})
    with raises(ConfigError, "text: no head"):
        check_caption(run, {"text": "why"})
    with raises(ConfigError, "texts: this model has no contrastive head"):
        check_predict(run, {"texts": ["a"], "inputs": True})
    with raises(ConfigError, "top: 0"):
        check_predict(run, {"top": 0, "inputs": True})


def test_nothing_is_written(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained_config(folder, {})
    assert [*tmp_path.iterdir()] == []
