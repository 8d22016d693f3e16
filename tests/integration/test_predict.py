"""What trained models say of new files, rows and texts, and what users get wrong about it."""

import json
import shutil

import numpy as np
import pytest

from mmtx_cli.io.quoting import quoted
from tests.command_line import mmtx, succeeded
from tests.messages import mentions, mentions_missing
from tests.predicting import command, lines, predict

from .fixtures import AWKWARD_NAME

PICTURE = f"{AWKWARD_NAME}/scenes/images/00001.jpg"
TWO = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu")


def lines_of(done):
    """The lines on standard output, but for the last, which is the run folder."""
    return [json.loads(line) for line in done.stdout.splitlines()[:-1]]


def test_files_of_which_some_cannot_be_read(place, captioner, scenes, monkeypatch):
    (place / "spoilt.jpg").write_text("no picture")
    inputs = f"inputs=[spoilt.jpg,{quoted(PICTURE)},missing.png,{quoted(PICTURE)}]"
    done = mmtx("predict", captioner, inputs, "run_dir=predicted", "embeddings=true", cwd=place)
    run = succeeded(done)
    mentions(done.stderr, "2 of 4 inputs")
    message = lines_of(done)
    assert [line["path"] for line in message] == ["spoilt.jpg", PICTURE, "missing.png", PICTURE]
    assert [{*line} - {"path"} for line in message] == [
        {"error"}, {"captioning"}, {"error"}, {"captioning"},
    ]  # fmt: skip
    assert done.stdout.startswith((run / "predictions.jsonl").read_text())
    assert [row["id"] for row in lines(run / "quarantine.jsonl")] == ["spoilt.jpg", "missing.png"]
    vectors = np.load(run / "embeddings" / "fused.npy")
    assert np.isnan(vectors).any(axis=1).tolist() == [True, False, True, False]
    monkeypatch.chdir(place)
    captioned = lines(command("caption", place / "also", captioner, inputs) / "captions.jsonl")
    assert [line.get("captioning", {}).get("caption") for line in message] == [
        line.get("caption") for line in captioned
    ]


def test_predictions_match_those_of_evaluation(place, captioner, scenes, monkeypatch):
    monkeypatch.chdir(place)
    rows = {row["id"]: row for row in predict(place / "rows", captioner, scenes, "split=val")}
    run = command("eval", place / "scored-rows", captioner, "split=val", "bootstrap=2")
    for scored in lines(run / "predictions.jsonl"):
        predicted = rows.pop(scored["id"])
        assert predicted["inputs"] == scored["inputs"]
        assert predicted["captioning"]["caption"] == scored["captioning"]["caption"]
    assert not rows


def test_texts_and_pictures_of_a_dual_encoder(place, contrastive, scenes, monkeypatch):
    monkeypatch.chdir(place)
    (place / "texts.txt").write_text("a red ball\n\na blue star\na red ball \n")
    args = [contrastive, f"inputs={quoted(PICTURE)}", "texts=texts.txt"]
    (line,) = predict(place / "nearest", *args)
    assert {text for text, _ in line["contrastive"]["nearest"]["image"]} == {
        "a red ball", "a blue star",
    }  # fmt: skip
    texts = f"texts={quoted(next(place.glob('*/scenes/scenes.jsonl')))}"
    (line,) = predict(place / "captions", *args[:2], texts, "top=1000000")
    found = [text for text, _ in line["contrastive"]["nearest"]["image"]]
    rows = lines(next(place.glob("*/scenes/scenes.jsonl")))
    assert sorted(found) == sorted({text for row in rows for text in row["captions"]})


def test_the_embedding_of_a_text_alone(place, contrastive, monkeypatch):
    monkeypatch.chdir(place)
    args = [contrastive, "text='a red ball'", "embeddings=true"]
    assert predict(place / "alone", *args) == [{"text": "a red ball"}]
    vector = np.load(place / "alone" / "embeddings" / "contrastive.text.npy")
    assert np.linalg.norm(vector, axis=1) == pytest.approx([1])


@pytest.mark.slow
@pytest.mark.parametrize("source", ["files", "rows"])
def test_two_processes_predict_the_same_as_one(source, place, contrastive, scenes):
    pictures = place / AWKWARD_NAME / "scenes" / "images"
    asked = f"inputs={quoted(pictures)}" if source == "files" else scenes
    args = [contrastive, asked, 'texts=["a red ball","a blue star"]', "embeddings=true"]
    outs = []
    for name, extra in (("one", ()), ("two", TWO)):
        done = mmtx("predict", *args, *extra, f"run_dir={source}-{name}", cwd=place)
        run = succeeded(done)
        assert done.stdout.startswith((run / "predictions.jsonl").read_text())
        assert {path.name for path in run.iterdir()} >= {"embeddings", "result.json"}
        assert not list(run.glob(".*.pt"))
        outs.append((lines_of(done), np.load(run / "embeddings" / "image.npy")))
    (rows, vectors), (others, same) = outs
    assert len(rows) == 60
    np.testing.assert_allclose(vectors, same, atol=1e-6)
    for line, other in zip(rows, others, strict=True):
        found, again = (x.pop("contrastive")["nearest"]["image"] for x in (line, other))
        assert line == other
        assert dict(found) == pytest.approx(dict(again), abs=1e-5)


MISTAKES = {
    "nothing": (
        [],
        ["inputs: ", " inputs=FILE, ", " inputs=FOLDER ", " inputs='*.mp4'", " data.path="],
    ),
    "an empty list": (["inputs=[]"], ["inputs: ", " inputs=FILE"]),
    "no such pattern": (["inputs='none/*.jpg'"], ["inputs: none/*.jpg: ", "file"]),
    "an empty folder": (
        ["inputs=hollow"],
        ["inputs: hollow: ", "image, video or audio", "folder"],
    ),
    "both": (["inputs=a.jpg", "data.path=b.jsonl"], ["inputs: ", " data.path"]),
    "a manifest as a file": (["inputs=[a.jpg,b.csv]"], ["inputs: b.csv ", " data.path=b.csv"]),
    "a file as a manifest": (["data.path=a.jpg"], ["data.path: a.jpg ", " inputs=a.jpg"]),
    "a folder as a manifest": (["data.path=hollow"], ["data.path: hollow ", " inputs=hollow"]),
    "no such manifest": (["data.path=hollow/b.jsonl"], ["hollow/b.jsonl: ", "manifest"]),
    "several manifests": (
        ["data.mixture=[{name: a, path: b.jsonl}]"],
        ["data.mixture: ", "one manifest"],
    ),
    "a split of files": (["inputs=a.jpg", "split=val"], ["split: ", " data.path"]),
    "no such split": (
        ["data.path=b.jsonl", "split=tests"],
        ["split: ", "'tests'", "train, val, test"],
    ),
    "pieces of rows": (
        ["data.path=b.jsonl", "segment_seconds=3"],
        ["segment_seconds: ", " inputs"],
    ),
    "a text of rows": (["data.path=b.jsonl", "text=why"], ["text: ", " inputs"]),
    "a text nobody reads": (["inputs=a.jpg", "text=why"], ["text: ", "head"]),
    "texts nobody reads": (["inputs=a.jpg", "texts=[why]"], ["texts: ", "contrastive head"]),
    "a cache": (["inputs=a.jpg", "data.cache=x"], ["data.cache: ", "inputs", "files"]),
    "another head": (
        ["inputs=a.jpg", "head=vqa"],
        ["head: ", "mmtx predict", "ckpt=", "head.KEY=VALUE"],
    ),
    "a bare file": (["a.jpg"], ["a.jpg: ", " inputs=a.jpg", "key=value"]),
    "a bare manifest": (["b.jsonl"], ["b.jsonl: ", " data.path=b.jsonl", "key=value"]),
    "no number": (["inputs=a.jpg", "top=0"], ["top: 0 ", " 1"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_reported_before_reading_files(mistake, place, captioner, in_process):
    args, parts = MISTAKES[mistake]
    (place / "hollow").mkdir(exist_ok=True)
    mentions(in_process("predict", captioner, *args, "run_dir=mistaken"), *parts)
    assert not (place / "mistaken").exists()


DUAL_MISTAKES = {
    "no texts": ([], ["head.contrastive: ", " texts='[", " texts=FILE", "embeddings=true"]),
    "a sentence": (["texts='a red ball'"], ["texts: a red ball: ", ".txt", "list", "texts='["]),
    "no such texts": (["texts=text.txt"], ["text.txt: ", "text file"]),
    "no text": (["texts=['']"], ["texts: ", ' texts=\'["a dog","a cat"]\'']),
    "an empty file": (["texts=hollow.txt"], ["texts: hollow.txt: ", " text"]),
}


@pytest.mark.parametrize("mistake", DUAL_MISTAKES)
def test_mistakes_about_texts(mistake, place, contrastive, in_process):
    args, parts = DUAL_MISTAKES[mistake]
    (place / "hollow.txt").write_text("\n")
    message = in_process("predict", contrastive, "inputs=a.jpg", *args, "run_dir=mistaken")
    mentions(message, *parts)
    assert not (place / "mistaken").exists()


def test_rows_that_have_nothing_the_model_reads(place, captioner, in_process):
    rows = [{"id": "a", "text": "why"}, {"id": "b", "split": "train", "captions": ["a ball"]}]
    (place / "wordy.jsonl").write_text("\n".join(map(json.dumps, rows)))
    args = [captioner, "data.path=wordy.jsonl", "run_dir=wordy"]
    mentions(in_process("predict", *args), "wordy.jsonl: ", " 2 ", " image", "model")
    # rows that name no split are asked for one only where a split is wanted
    message = in_process("predict", *args, "split=train")
    mentions(message, "wordy.jsonl:1: ", "split", "train, val or test")


def test_no_input_can_be_read(place, captioner, in_process):
    shutil.rmtree(place / "unread", ignore_errors=True)
    message = in_process("predict", captioner, "inputs=[a.jpg,b.jpg]", "run_dir=unread")
    (line,) = [line for line in message.splitlines() if " 2 inputs " in line]
    mentions(line, place / "unread")
    assert " image" not in message  # nothing of what the inputs lack
    rows = lines(place / "unread" / "predictions.jsonl")
    assert [row.pop("path") for row in rows] == ["a.jpg", "b.jpg"]
    for row in rows:
        assert row.keys() == {"error"}
        mentions_missing(row["error"])
    again = in_process("predict", captioner, "inputs=a.jpg", "run_dir=unread")
    mentions(again, "run_dir=", "unread: ", "result", "folder")


def test_caption_of_a_model_that_writes_nothing_names_predict(place, contrastive, in_process):
    message = in_process("caption", contrastive, "inputs=a.jpg", "run_dir=mute")
    mentions(message, "ckpt=dual: ", "heads: contrastive", "`mmtx predict`", "`mmtx caption`")
