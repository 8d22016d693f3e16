import json

import pytest
from PIL import Image
from rich.console import Console

from mmtx_cli.data.validate_files import check_manifest
from mmtx_cli.errors import DataError
from mmtx_cli.media.worker.limits import DecodeLimits
from tests.messages import faults_mention, mentions, raises


@pytest.fixture
def folder(tmp_path):
    for name in "abc":
        Image.new("RGB", (8, 8), "red").save(tmp_path / f"{name}.jpg")
    return tmp_path


def write(folder, *rows):
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps({"id": str(i)} | row) + "\n" for i, row in enumerate(rows)))
    return path


def shown(summary):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(summary)
    return capture.get()


def test_what_a_data_set_holds(folder):
    path = write(
        folder,
        {"split": "train", "image": "a.jpg", "captions": ["one two", "one"], "label": "x"},
        {"split": "train", "captions": ["one two three four"], "label": ["x", "[red]"]},
        {"split": "val", "image": "b.jpg", "text": "why?", "label": 3},
        {"split": "test", "image": "c.jpg", "answers": {"yes": 1}},
    )
    summary = check_manifest(path, decode=True)
    assert summary.rows == {"train": 2, "val": 1, "test": 1}
    assert summary.fields["train"]["image"] == 1
    assert summary.fields["val"]["text"] == 1
    assert summary.fields["test"]["answers"] == 1
    assert summary.captions == {"train": 1.5, "val": 0, "test": 0}
    assert summary.caption_words["train"] == [1, 1, 2, 4, 4, 4]
    assert summary.labels["train"] == {"x": 2, "[red]": 1}
    assert summary.warnings
    assert all("content" in warning for warning in summary.warnings)
    assert check_manifest(path).warnings == []
    mentions(shown(summary), "[red]", "captions", "1.5")


def test_leaks_are_warned_of(folder):
    path = write(
        folder,
        {"split": "train", "image": "a.jpg"},
        {"split": "train", "image": "a.jpg"},
        {"split": "test", "image": ["b.jpg", "a.jpg"], "label": "x"},
        {"split": "val", "text": "same"},
        {"split": "test", "text": "same"},
    )
    image, text = check_manifest(path).warnings
    mentions(image, "image", "train and test", folder / "a.jpg", f"{path}:1", f"{path}:3")
    mentions(text, "text", "val and test", f"{path}:4", f"{path}:5")


def test_labels_that_training_never_shows_are_warned_of(folder):
    rows = [
        {"split": s, "label": name} for s, name in [("train", "a"), ("val", "a"), ("test", "b")]
    ]
    (warning,) = check_manifest(write(folder, *rows)).warnings
    mentions(warning, "labels", " test ", ": b")
    assert any("split val" in w for w in check_manifest(write(folder, rows[0])).warnings)


def test_faults_of_rows_and_files_are_reported_together(folder):
    (folder / "b.jpg").write_bytes(b"no picture")
    rows = [{"split": "train", "image": "b.jpg"}] * 2 + [{"split": "x"}] * 30
    path = write(folder, *rows)
    with pytest.raises(DataError) as caught:
        check_manifest(path, decode=True)
    faults = caught.value.faults
    assert len(faults) == 31  # all of them, with no limit
    faults_mention(faults[-1:], (f"{path}:1: image", "1 more", f": {folder / 'b.jpg'}: ", "image"))


def test_processes_find_what_one_finds(folder):
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes()[:-40])
    path = write(folder, *({"split": "train", "image": f"{name}.jpg"} for name in "abc"))
    found = []
    for workers in (1, 2):
        with raises(DataError, f"{path}:2: image: {folder / 'b.jpg'}: ", "damaged") as caught:
            check_manifest(path, decode=True, workers=workers)
        found.append(caught.value.faults)
    assert found[0] == found[1]


def test_every_row_without_a_split_gets_one(folder):
    path = write(folder, *({"image": "a.jpg"} for _ in range(20)))
    summary = check_manifest(path, split={"train": 0.5, "test": 0.5})
    assert sum(summary.rows.values()) == 20
    assert min(summary.rows["train"], summary.rows["test"]) > 3


def test_the_pixel_limit_is_reported_and_can_be_raised(folder):
    """Also where other processes decode."""
    Image.new("RGB", (20, 20), "red").save(folder / "large.png")
    path = write(folder, {"split": "train", "image": "large.png"})
    with pytest.raises(DataError) as error:
        check_manifest(path, decode=True, limits=DecodeLimits(pixels=399))
    faults_mention(
        error.value.faults,
        (f"{path}:1: image: {folder / 'large.png'}: ", "400 pixels", "399", " max_image_pixels"),
    )
    assert check_manifest(path, decode=True, limits=DecodeLimits(pixels=400)).rows["train"] == 1
