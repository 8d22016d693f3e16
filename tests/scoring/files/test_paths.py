"""Rows that are known by the path of their file: of ``mmtx caption`` and others."""

import json
import os

import pytest

from tests.messages import faults_mention
from tests.scoring.files.writing import (
    CAPTIONS,
    PREDICTIONS,
    REFERENCES,
    faults,
    lines,
    loaded,
    reference_lines,
    written,
)


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """A manifest below the working folder, with a picture and a film a sample."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": f"s{i}", "image": f"img/{i}.jpg", "audio": f"{i}.wav", "captions": own}
        for i, own in REFERENCES.items()
    ]
    return written(tmp_path, "data/m.jsonl", lines(rows))


def captioned(form, **more):
    """Rows as ``mmtx caption`` writes them."""
    return lines(
        {"path": form.format(i), "caption": c, "score": -0.5, **more}
        for i, c in PREDICTIONS.items()
    )


@pytest.mark.parametrize(
    "form",
    ["data/img/{}.jpg", "{root}/data/img/{{}}.jpg", "img/{}.jpg", "./data/../data/img/{}.jpg"],
)
def test_captions_by_path_are_joined_with_a_manifest(form, manifest, tmp_path):
    form = form.format(root=tmp_path) if "root" in form else form
    found = loaded(written(tmp_path, "p.jsonl", captioned(form)), manifest)
    (captions,) = found.systems
    assert captions.ids == ["s1", "s2", "s3"]
    assert captions.predictions == CAPTIONS
    folder = tmp_path / "data"
    assert captions.media[0] == {"image": folder / "img/1.jpg", "audio": folder / "1.wav"}
    assert found.files[1]["joined_by"] == "path"
    assert not found.notes


def test_paths_through_links_and_from_another_machine(manifest, tmp_path):
    os.symlink(tmp_path / "data", tmp_path / "link")
    found = loaded(written(tmp_path, "p.jsonl", captioned("link/img/{}.jpg")), manifest)
    assert found.systems[0].predictions == CAPTIONS
    assert not found.notes
    found = loaded(written(tmp_path, "p.jsonl", captioned("/gone/data/img/{}.jpg")), manifest)
    assert found.systems[0].predictions == CAPTIONS
    faults_mention(found.notes, ("p.jsonl: ", "3 paths", "last parts", "/gone/data/img/1.jpg"))


def test_paths_without_a_sample_and_samples_without_a_path(manifest, tmp_path):
    rows = captioned("data/img/{}.jpg").replace("3.jpg", "4.jpg")
    faults_mention(
        faults(written(tmp_path, "p.jsonl", rows), manifest),
        ("p.jsonl:3: ", "1 of 3", "no such file", "data/img/4.jpg", str(tmp_path)),
        ("data/m.jsonl:3: ", "1 of 3", "no prediction", "s3"),
    )
    twice = captioned("data/img/{}.jpg") + captioned("img/{}.jpg")
    found = faults(written(tmp_path, "p.jsonl", twice), manifest)
    faults_mention(found, ("p.jsonl:4: ", "3 of 6", "another row has the same sample"))


def test_an_ambiguous_end_of_a_path_is_not_guessed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": i, "image": f"{i}/a.jpg", "captions": own} for i, own in REFERENCES.items()]
    manifest = written(tmp_path, "data/m.jsonl", lines(rows))
    path = written(tmp_path, "p.jsonl", lines([{"path": "a.jpg", "caption": "x"}]))
    found = faults(path, manifest)
    faults_mention(found[:1], ("p.jsonl:1: ", "several samples have this file", "a.jpg"))


def test_unreadable_inputs_of_mmtx_caption_are_counted(manifest, tmp_path):
    rows = captioned("data/img/{}.jpg").splitlines()
    rows[0] = json.dumps({"path": "data/img/1.jpg", "error": "truncated file"})
    found = loaded(written(tmp_path, "p.jsonl", "\n".join(rows)), manifest)
    assert found.systems[0].predictions == ["", *CAPTIONS[1:]]
    faults_mention(found.notes, ("p.jsonl: ", "1 of 3", "could not be read", "1.jpg"))


def test_segments_are_joined_by_path_and_times(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": i, "video": "f.mp4", "start": 2.0 * n, "end": 2.0 * n + 1.25, "captions": own}
        for n, (i, own) in enumerate(REFERENCES.items())
    ]
    manifest = written(tmp_path, "m.jsonl", lines(rows))
    rows = [
        {"path": "f.mp4", "start": 2.0 * n + 0.0004, "end": 2.0 * n + 1.25, "caption": c}
        for n, c in enumerate(CAPTIONS)
    ]
    found = loaded(written(tmp_path, "p.jsonl", lines(rows[::-1])), manifest)
    (captions,) = found.systems
    assert captions.predictions == CAPTIONS
    assert captions.segments == [(0, 1.25), (2, 3.25), (4, 5.25)]
    rows[2] |= {"start": 4.5}
    faults_mention(
        faults(written(tmp_path, "p.jsonl", lines(rows)), manifest),
        ("p.jsonl:3: ", "no segment with these times", "f.mp4 4.5–5.25 s"),
        ("m.jsonl:3: ", "1 of 3"),
    )
    whole = lines([{"path": "f.mp4", "caption": "a film"}])
    found = faults(written(tmp_path, "p.jsonl", whole), manifest)
    faults_mention(found[:1], ("p.jsonl:1: ", "segments of this file"))


def test_coco_images_have_files_with_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coco = {
        "images": [{"id": int(i), "file_name": f"{i}.jpg"} for i in REFERENCES],
        "annotations": [
            {"id": 9, "image_id": int(i), "caption": c}
            for i, own in REFERENCES.items()
            for c in own
        ],
    }
    (tmp_path / "val").mkdir()
    references = written(tmp_path, "coco.json", json.dumps(coco))
    by_id = json.dumps([{"image_id": int(i), "caption": c} for i, c in PREDICTIONS.items()])
    found = loaded(written(tmp_path, "p", by_id), references, images=tmp_path / "val")
    assert found.systems[0].media[0] == {"image": tmp_path / "val/1.jpg"}
    assert loaded(tmp_path / "p", references).systems[0].media == [{}] * 3
    found = loaded(written(tmp_path, "p", captioned("/other/val/{}.jpg")), references)
    assert found.systems[0].predictions == CAPTIONS


def test_files_outside_the_root_are_not_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": i, "image": "../x.jpg", "captions": own} for i, own in REFERENCES.items()]
    manifest = written(tmp_path, "data/m.jsonl", lines(rows))
    predictions = lines({"id": i, "caption": c} for i, c in PREDICTIONS.items())
    found = loaded(written(tmp_path, "p", predictions), manifest)
    assert found.systems[0].media == [{}] * 3
    faults_mention(found.notes, ("data/m.jsonl: ", "files of 3 samples are not used", "images="))


def test_references_without_files_cannot_be_found_by_path(tmp_path):
    references = written(tmp_path, "r", reference_lines())
    found = faults(written(tmp_path, "p", captioned("{}.jpg")), references)
    faults_mention(found, ("p: ", "path", "names no files", "manifest"))


@pytest.mark.parametrize("name", ["img/\\u0000a.jpg", "\\ud800/a.jpg"])
def test_paths_that_no_file_can_have(tmp_path, name):
    references = written(tmp_path, "r", '{"id": "1", "image": "b.jpg", "captions": ["a dog"]}')
    path = written(tmp_path, "p", f'{{"path": "{name}", "caption": "a dog"}}')
    found = faults(path, references)
    assert "no such file in the references" in found[0]
