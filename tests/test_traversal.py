"""Paths that lead out of their place, by whatever names a file but the rows of a manifest."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import CheckpointError, DataError, MmtxError
from mmtx_cli.io.checkpoint import read_config, read_weights
from mmtx_cli.io.model_folder import save_folder
from mmtx_cli.media.errors import UnreadableError
from tests.command_line import TINY, TINY_IMAGE, forked
from tests.data_action import run_action
from tests.hostile import CHECKPOINT, CONFIG, STATE
from tests.messages import raises

SECRET = "a secret of someone else"
UP = [
    f"{before}{up}{after}"
    for before in ("", "./", "a/", "a/b/../", "link/")
    for up in ("../", "..//", "../../", "../../../../../../", "x/../../")
    for after in ("", "./", "a/../", "x/..")
]
"""A hundred ways out of a folder; some end in it again."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a way out, and pictures above it that nothing may lead to."""
    inside = tmp_path / "x" / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "x"):
        (folder / "secret.jpg").write_text(SECRET)
    monkeypatch.chdir(inside)
    return inside


def everything(folder: Path) -> dict[str, bytes]:
    """What stands in every file that is no link."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_root_of_a_card(place):
    row = {"id": "a", "split": "train", "image": "secret.jpg"}
    (place / "m.jsonl").write_text(json.dumps(row) + "\n")
    assert len(set(UP)) == 100
    refused = 0
    for root in UP:
        (place / "m.yaml").write_text(json.dumps({"root": root}))
        with pytest.raises(DataError) as caught:  # there is no such picture inside
            read_manifest(place / "m.jsonl")
        refused += "data.allow_outside_root=true" in str(caught.value)
    assert refused > 60


def coco(name):
    images, annotations = [{"id": 1, "file_name": name}], [{"image_id": 1, "caption": "a"}]
    Path("c.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return {"importer": "coco", "annotations": "c.json", "images": ".", "split": "train"}


def csv(name):
    Path("t.csv").write_text(f"image,caption\n{name},a\n")
    return {"importer": "csv", "captions": "t.csv", "images": ".", "split": "train"}


def flickr8k(name):
    Path("tokens.txt").write_text(f"{name}#0\ta\n")
    Path("train.txt").write_text(f"{name}\n")
    splits = {"train": "train.txt"}
    return {"importer": "flickr8k", "captions": "tokens.txt", "images": ".", "splits": splits}


def vqa(name):
    question = {"question_id": 1, "image_id": 2, "question": "what?"}
    content = {"data_subtype": f"{name}/x", "questions": [question]}
    Path("q.json").write_text(json.dumps(content))
    return {"importer": "vqa", "questions": "q.json", "images": ".", "split": "test"}


IMPORTERS = {"coco": coco, "csv": csv, "flickr8k": flickr8k, "vqa": vqa}


def imported(settings):
    run_action("import", out="out.jsonl", **settings)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", IMPORTERS)
def test_an_import(name, place):
    for up in UP:
        path = up if name == "vqa" else f"{up}/secret.jpg"
        before = everything(place.parents[1])
        settings = IMPORTERS[name](path)
        with pytest.raises(MmtxError):
            imported(settings)
        own = {key for key in everything(place.parents[1]) if key.startswith("x/inside/")}
        assert "x/inside/out.jsonl" not in own
        assert {k: v for k, v in everything(place.parents[1]).items() if k not in own} == {
            k: v for k, v in before.items() if not k.startswith("x/inside/")
        }


def test_what_lies_inside_is_imported(place):
    Image.new("RGB", (8, 8)).save(place / "a" / "secret.jpg")
    for make in (coco, csv, flickr8k):
        imported(make("a/b/../secret.jpg"))
        assert json.loads((place / "out.jsonl").read_text())["image"] == "a/secret.jpg"


@pytest.mark.parametrize("up", UP[::5])
def test_names_of_tokenizers_in_a_model(up, place):
    folder = save_folder(place / "model", CONFIG, STATE)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tokenizers": [f"{up}secret.jpg"]}))
    with raises(CheckpointError, f"{folder / 'config.json'}: ", "tokenizers", "text_tokenizer"):
        read_config(str(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_link_in_a_model_does_not_read_out_a_file(name, place):
    folder = save_folder(place / "model", CONFIG, STATE)
    (folder / name).unlink()
    (folder / name).symlink_to(place.parent / "secret.jpg")
    texts = []
    for read in (read_config, read_weights):
        try:
            texts.append(str(read(str(folder)).get("tokenizer", "")))
        except CheckpointError as error:
            texts.append(str(error))
    assert name == "tokenizer.json" or SECRET not in "".join(texts)


def test_members_of_archives(place):
    """Archives are read, never unpacked into files."""
    torch.save(CHECKPOINT, "whole.ckpt")
    before = everything(place.parents[1])
    with zipfile.ZipFile("whole.ckpt") as old, zipfile.ZipFile("x.ckpt", "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
        for number, up in enumerate(UP):
            new.writestr(f"{up}/out{number}", b"x")
    with zipfile.ZipFile("x.npz", "w") as new:
        for number, up in enumerate(UP):
            new.writestr(f"{up}/out{number}.npy", b"x")
    for number, up in enumerate(UP):
        with pytest.raises(UnreadableError):
            FeatureFiles().read(FeaturePlace("x.npz", f"{up}/out{number}"))
    for read in (read_config, read_weights):
        try:
            read("x.ckpt")
        except CheckpointError:
            continue
    after = everything(place.parents[1])
    assert {k for k in after if k not in before} == {"x/inside/x.ckpt", "x/inside/x.npz"}


TRAINS = (
    "finetune",
    *TINY_IMAGE,
    *TINY,
    "trainer.max_steps=1",
    "fusion=concat",
    "head=classification",
    "logger=tensorboard",
    "data.path=m.jsonl",
    "data.text=null",
)


def data(folder: Path) -> None:
    rows = []
    for i in range(5):
        Image.fromarray(np.full((8, 8, 3), 60 * i, np.uint8)).save(folder / f"{i}.png")
        split = ("train", "train", "train", "train", "val")[i]
        rows.append({"id": str(i), "split": split, "image": f"{i}.png", "label": "ab"[i % 2]})
    rows[0]["image"] = "m.jsonl"  # no picture: goes to the quarantine
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


KINDS = {
    "link": lambda path, there: path.symlink_to(there),
    "link to nothing": lambda path, there: path.symlink_to(there.with_name("nothing")),
    "hard link": lambda path, there: os.link(there, path),
}


@pytest.mark.slow
def test_every_file_of_a_run(tmp_path):
    """Whatever a run writes may be there before it, as a link to a file of someone else."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    data(inside)
    args = (*TRAINS, "data.max_unreadable_fraction=1")
    first = forked(*args, "run_dir=run", cwd=inside)
    assert first.status == 0, first.output
    written = sorted(path.relative_to(inside / "run") for path in (inside / "run").rglob("*"))
    assert len(written) > 10
    count = 0
    for name in written:
        is_folder = (inside / "run" / name).is_dir()
        for kind in KINDS:
            if kind == "hard link" and is_folder:
                continue
            there = outside / "there"
            there.mkdir() if is_folder else there.write_text("")
            own = inside / f"run{count}"
            (own / name).parent.mkdir(parents=True)
            KINDS[kind](own / name, there)
            done = forked(*args, f"run_dir={own.name}", cwd=inside)
            count += 1
            assert done.status in (0, 2), (name, kind, done.output)
            assert "Traceback" not in done.output
            assert [p.name for p in outside.rglob("*")] == ["there"], (name, kind)
            if is_folder:
                there.rmdir()
            else:
                assert there.read_text() == "", (name, kind)
                there.unlink()
    print(f"\n{count} links in a run folder, none followed")
