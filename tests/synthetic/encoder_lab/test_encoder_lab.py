"""Each task of the encoder laboratory can be solved, is balanced, and is the same every time."""

from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError
from mmtx_cli.synthetic.encoder_lab import make, make_encoder_lab
from mmtx_cli.synthetic.encoder_lab.make import TASKS
from tests.data_action import run_action
from tests.encoder.lab_baseline import accuracy
from tests.messages import raises

ROOT = Path(__file__).parents[3]
TEXT_TASKS = [name for name in TASKS if name.startswith("text_")]
ONE_PER_MODALITY = ["image_count", "video_cut", "audio_order", "text_negation"]


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.quick_cases(5)
def test_a_trivial_baseline_solves_each_task_and_classes_are_balanced(tmp_path, name):
    path = make_encoder_lab(tmp_path / "lab", num=60, size=32, workers=1, task=name)
    assert accuracy(path, name) >= 0.97
    manifest, task = read_manifest(path), TASKS[name]
    assert manifest.label_names == list(task.label_names)
    for split, size in (("train", 48), ("val", 6), ("test", 6)):
        samples = manifest.split(split)
        counts = Counter(sample.label for sample in samples)
        per_class = [counts[label] for label in task.label_names]
        assert len(samples) == size
        assert max(per_class) - min(per_class) <= 1
        assert all(getattr(sample, task.modality) for sample in samples)


@pytest.mark.parametrize("name", ONE_PER_MODALITY)
def test_the_same_arguments_give_the_same_content(tmp_path, monkeypatch, name):
    # libx264 does not promise the same bytes for the same frames: the frames themselves are kept
    monkeypatch.setattr(make, "write_video", lambda path, frames, _: path.write_bytes(frames))
    one, other, seeded = (
        make_encoder_lab(tmp_path / str(i), num=12, seed=seed, workers=workers, task=name).parent
        for i, (seed, workers) in enumerate([(0, 1), (0, 2), (1, 1)])
    )
    assert contents(one) == contents(other)
    assert contents(one) != contents(seeded)


def test_a_complete_folder_is_used_again_and_one_of_another_task_replaced(tmp_path):
    def made(task):
        path = make_encoder_lab(tmp_path / "lab", num=10, task=task)
        return path.stat().st_mtime_ns, sorted(p.name for p in path.parent.iterdir())

    first = made("image_color")
    assert made("image_color") == first
    files = ["encoder_lab.jsonl", "encoder_lab.yaml"]
    assert made("audio_pitch")[1] == [*files, "sounds"]
    assert made("text_count")[1] == files
    (tmp_path / "lab" / "images").mkdir()
    (tmp_path / "lab" / "images" / "mine.png").touch()
    with raises(ConfigError, f"out={tmp_path / 'lab'}: ", "images/mine.png"):
        made("image_color")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Return the samples of a text task, made once."""

    @cache
    def make(name):
        folder = tmp_path_factory.mktemp(name) / "lab"
        return read_manifest(make_encoder_lab(folder, num=1000, workers=1, task=name))

    return make


@pytest.mark.parametrize("name", TEXT_TASKS)
def test_no_text_occurs_in_two_splits_and_few_occur_twice(texts, name):
    splits = [{s.text for s in texts(name).split(split)} for split in ("train", "val", "test")]
    assert not any(one & other for one, other in combinations(splits, 2))
    assert sum(map(len, splits)) > 950


@pytest.mark.parametrize("name", ["text_word_order", "text_negation", "text_agreement"])
def test_a_bag_of_words_does_not_suffice(texts, name):
    """Least squares on word counts stays far below what the order of the words gives."""
    samples, labels = texts(name).samples, list(TASKS[name].label_names)
    counts = [Counter(sample.text.split()) for sample in samples]
    words = sorted(set().union(*counts))
    x = np.array([[count[word] for word in words] for count in counts], float)
    y = np.array([labels.index(sample.label) for sample in samples])
    train = np.array([sample.split == "train" for sample in samples])
    weights = np.linalg.lstsq(x[train], np.eye(len(labels))[y[train]], rcond=None)[0]
    assert ((x[~train] @ weights).argmax(1) == y[~train]).mean() < 0.62


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, ["task ", "dataset=encoder_lab ", " image_color, ", "\n", " mmtx data action=create"]),
        ({"task": "image_colr"}, ["task=image_colr: ", " image_color"]),
        ({"task": "xor"}, ["task=xor: ", "dataset=encoder_lab ", " image_color, "]),
        ({"task": "video_cut", "size": 33}, ["size=33: ", "H.264", "even", "size=34"]),
    ],
)
def test_a_missing_or_unknown_task_is_reported(tmp_path, settings, parts):
    with raises(ConfigError, *parts):
        run_action("create", dataset="encoder_lab", out=str(tmp_path / "lab"), **settings)


@pytest.mark.parametrize("file", ["conf/dataset/encoder_lab.yaml", "docs/data.md"])
def test_every_task_is_listed(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert [name for name in TASKS if name not in text] == []
