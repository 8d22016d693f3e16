import os

import pytest
from omegaconf import OmegaConf

from mmtx_cli.command.caption import run
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.inference.inputs import input_files
from tests.messages import faults_mention, mentions, raises


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.JPG", "a.png", "notes.txt", "below/deep/c.webp", "odd [1]*.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_a_folder_gives_its_pictures_and_those_below_in_order(pictures):
    names = [os.path.relpath(path, pictures) for path in input_files(str(pictures))]
    assert names == ["a.png", "b.JPG", "below/deep/c.webp", "odd [1]*.jpg"]


@pytest.mark.parametrize(
    "name", ["b.jfif", "d.ts", "e.MTS", "f.3gp", "g.aiff", "h.mka", "i.caf", "j.apng", "k.m2ts"]
)
def test_whatever_can_be_read_is_found(name, tmp_path, capsys):
    (tmp_path / name).touch()
    assert input_files(str(tmp_path)) == [str(tmp_path / name)]
    assert capsys.readouterr().err == ""


def test_what_a_folder_has_besides_is_counted_by_suffix(tmp_path, capsys):
    names = ("a.png", "b.HEIC", "c.HEIC", "d.txt", "README", "._a.png", ".DS_Store", ".git/x.png")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert input_files(str(tmp_path)) == [str(tmp_path / "a.png")]
    message = capsys.readouterr().err
    mentions(message, f"inputs: {tmp_path}: 4 files", "b.HEIC and 1 ", ", README, d.txt)")
    assert message.count("\n") == 1


def test_files_folders_and_globs_mix_in_the_order_given(pictures):
    inputs = OmegaConf.create(["notes.txt", "below", "*.png", "missing.jpg"])
    assert input_files(inputs) == ["notes.txt", "below/deep/c.webp", "a.png", "missing.jpg"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(pictures):
    assert input_files("odd [1]*.jpg") == ["odd [1]*.jpg"]


def test_a_glob_may_reach_below(pictures):
    assert input_files("**/*.webp") == ["below/deep/c.webp"]


def test_all_patterns_without_matches_are_reported_at_once(pictures):
    with pytest.raises(DataError) as caught:
        input_files(["*.gif", "empty", "a.png"])
    faults_mention(
        caught.value.faults,
        ("inputs: *.gif: ", "file"),
        ("inputs: empty: ", "image, video or audio", "folder"),
    )


def test_a_number_is_a_name(pictures):
    assert input_files(3) == ["3"]


@pytest.mark.parametrize("inputs", [None, "", []])
def test_without_inputs_the_current_folder_is_not_searched(inputs, pictures):
    with raises(ConfigError, "inputs: ", " inputs=FILE"):
        run(OmegaConf.create({"ckpt": "x", "inputs": inputs}))


def test_all_missing_inputs_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        run(OmegaConf.create({"ckpt": None, "inputs": None}))
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["ckpt", "inputs"]
