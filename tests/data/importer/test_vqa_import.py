"""`mmtx data action=import` of questions and answers, in this process."""

import json

import pytest
from PIL import Image

from mmtx_cli.data.importer import easy_vqa
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError
from tests.command.test_data import run_data
from tests.messages import raises


@pytest.fixture
def files(tmp_path):
    """Two questions of training and one of the test, about a picture each."""
    for i, (split, subtype) in enumerate({"train": "train2014", "test": "test2015"}.items()):
        folder = tmp_path / subtype
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / f"COCO_{subtype}_{i:012d}.jpg")
        questions = [{"question_id": 10 * i, "image_id": i, "question": "what?"}]
        content = {"data_subtype": subtype, "questions": questions}
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    given = [{"question_id": 0, "answer_type": "other", "answers": [{"answer": "a cat"}] * 10}]
    (tmp_path / "answers.json").write_text(json.dumps({"annotations": given}))
    return tmp_path


def test_vqa(files, capsys):
    common = {"action": "import", "importer": "vqa", "out": str(files / "v.jsonl")}
    folders = {"train": str(files / "train2014"), "test": str(files / "test2015")}
    asked = {split: str(files / f"{split}.json") for split in folders}
    message = str(files / "answers.json")
    path = run_data(
        capsys, **common, images=folders, questions=asked, annotations={"train": message}
    )
    train, test = read_manifest(path).samples
    assert (train.split, train.text, train.answers) == ("train", "what?", {"a cat": 10.0})
    assert (test.split, test.answers) == ("test", {})
    alone = {"images": folders["train"], "questions": asked["train"], "annotations": message}
    path = run_data(capsys, **common, **alone, split="val")
    assert [row.split for row in read_manifest(path).samples] == ["val"]
    with raises(ConfigError, " questions=…\n", "importer=vqa"):
        run_data(capsys, **common, images=folders)
    with raises(ConfigError, "annotations.val: ", "questions", "split"):
        run_data(capsys, **common, images=folders, questions=asked, annotations={"val": message})


def test_easy_vqa_needs_no_images(files, capsys, monkeypatch):
    for part in ("train", "test"):
        (files / "easy" / part / "images").mkdir(parents=True)
        (files / "easy" / part / "questions.json").write_text('[["is it red?", "no", 3]]')
        Image.new("RGB", (64, 64)).save(files / "easy" / part / "images" / "3.png")
    monkeypatch.setattr(easy_vqa, "package_folder", lambda: files / "easy")
    common = {"action": "import", "importer": "easy_vqa", "out": str(files / "out" / "e.jsonl")}
    path = run_data(capsys, **common)
    assert [row.id for row in read_manifest(path, root=files / "easy").samples] == [
        "train-3-1",
        "test-3-1",
    ]
    assert run_data(capsys, **common, images=str(files / "easy")) == path
