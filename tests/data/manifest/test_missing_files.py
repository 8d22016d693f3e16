"""A root that is wrong is reported once, and not for every file."""

import json

import pytest

from tests.command_line import refused
from tests.messages import mentions

TRAINING = ("finetune", "encoder/image=vit", "fusion=concat", "head=captioning")


@pytest.fixture
def folder(tmp_path):
    """A manifest of 40 pictures, and a folder that lacks them."""
    (tmp_path / "set" / "img").mkdir(parents=True)
    (tmp_path / "wrong").mkdir()
    rows = [
        {"id": f"i{i}", "split": "train", "image": f"img/{i}.jpg", "captions": ["a dog"]}
        for i in range(40)
    ]
    for row in rows:
        (tmp_path / "set" / row["image"]).write_bytes(b"x")
    (tmp_path / "set" / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = "".join(f"img/{i}.jpg,a dog,train\n" for i in range(40))
    (tmp_path / "set" / "t.csv").write_text(f"image,caption,split\n{table}")
    return tmp_path


COMMANDS = {
    "train": ([*TRAINING, "data.path=set/m.jsonl", "data.root=wrong"], "m.jsonl:1", "data.root"),
    "check": (["data", "action=check", "manifest=set/m.jsonl", "root=wrong"], "m.jsonl:1", "root"),
    "import": (
        [
            "data",
            "action=import",
            "importer=csv",
            "captions=set/t.csv",
            "images=wrong",
            "out=n.jsonl",
        ],
        "t.csv:2",
        "images",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_all_files_are_missing(name, folder):
    args, place, key = COMMANDS[name]
    message = refused(*args, cwd=folder)
    assert message.count("\n") == 1
    mentions(message, f"{place}: ", " 40 ", f"{folder}/wrong/img/0.jpg", f" {key}=FOLDER")


def test_nearly_all_are_missing_and_other_faults_stay(folder):
    (folder / "wrong" / "img").mkdir()
    (folder / "wrong" / "img" / "7.jpg").write_bytes(b"x")
    with open(folder / "set" / "m.jsonl", "a") as file:
        file.write(json.dumps({"id": "i40", "split": "tran", "text": "a"}) + "\n")
    message = refused("data", "action=check", "manifest=set/m.jsonl", "root=wrong", cwd=folder)
    first, *faults = message.splitlines()
    mentions(first, "mmtx data: 2 ")
    missing, split = faults
    mentions(missing, "m.jsonl:1: ", "39", "40", folder / "wrong", " root=FOLDER")
    mentions(split, "m.jsonl:41: ", '"tran"', "train")


@pytest.mark.parametrize("number", [3, 30])
def test_some_missing_files_are_reported_each(number, folder):
    for i in range(number):
        (folder / "set" / "img" / f"{i}.jpg").unlink()
    message = refused("data", "action=check", "manifest=set/m.jsonl", cwd=folder)
    assert message.count(": image: ") == number
    assert [f"m.jsonl:{i + 1}: image: " in message for i in range(number)] == [True] * number
    assert "=FOLDER" not in message


def test_paths_that_the_root_does_not_matter_to(folder):
    rows = [{"id": f"i{i}", "split": "train", "image": f"/no/{i}.jpg"} for i in range(9)]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    args = ["data", "action=check", "manifest=m.jsonl", "allow_outside_root=true"]
    message = refused(*args, cwd=folder)
    mentions(message, "m.jsonl:1: ", " 9 ", " /no/0.jpg", "paths", " root=FOLDER")
