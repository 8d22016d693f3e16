import json

import pytest
from PIL import Image
from rich.console import Console

from mmtx_cli.data.check import check_manifest
from mmtx_cli.data.decode.limits import DecodeLimits
from mmtx_cli.error import DataError


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
    assert all("of the same content" in warning for warning in summary.warnings)
    assert check_manifest(path).warnings == []
    text = shown(summary)
    assert "[red]" in text
    assert "captions a row" in text


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
    assert "1 times the same image in train and test" in image
    assert f"{folder / 'a.jpg'}: {path}:1 and {path}:3" in image
    assert "the same text in val and test" in text


def test_labels_that_training_never_shows_are_warned_of(folder):
    rows = [
        {"split": s, "label": name} for s, name in [("train", "a"), ("val", "a"), ("test", "b")]
    ]
    (warning,) = check_manifest(write(folder, *rows)).warnings
    assert warning == "labels in test that no training row has: b"
    assert "no row is of the split val" in check_manifest(write(folder, rows[0])).warnings


def test_faults_of_rows_and_files_are_told_together(folder):
    (folder / "b.jpg").write_bytes(b"no picture")
    rows = [{"split": "train", "image": "b.jpg"}] * 2 + [{"split": "x"}] * 30
    path = write(folder, *rows)
    with pytest.raises(DataError) as caught:
        check_manifest(path, decode=True)
    faults = caught.value.faults
    assert len(faults) == 31  # all of them, with no limit
    assert faults[-1].startswith(f"{path}:1: image (and 1 more rows): {folder / 'b.jpg'}: not an")
    assert faults[-1].endswith("replace the file or remove the row")


def test_processes_find_what_one_finds(folder):
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes()[:-40])
    path = write(folder, *({"split": "train", "image": f"{name}.jpg"} for name in "abc"))
    found = []
    for workers in (1, 2):
        with pytest.raises(DataError, match=f"{path}:2: image: .*damaged") as caught:
            check_manifest(path, decode=True, workers=workers)
        found.append(caught.value.faults)
    assert found[0] == found[1]


def test_every_row_without_a_split_gets_one(folder):
    path = write(folder, *({"image": "a.jpg"} for _ in range(20)))
    summary = check_manifest(path, split={"train": 0.5, "test": 0.5})
    assert sum(summary.rows.values()) == 20
    assert min(summary.rows["train"], summary.rows["test"]) > 3


def test_the_limit_of_pixels_is_told_and_can_be_raised(folder):
    """Also where other processes decode."""
    Image.new("RGB", (20, 20), "red").save(folder / "large.png")
    path = write(folder, {"split": "train", "image": "large.png"})
    with pytest.raises(DataError) as error:
        check_manifest(path, decode=True, limits=DecodeLimits(pixels=399))
    (fault,) = error.value.faults
    assert fault.startswith(f"{path}:1: image: {folder / 'large.png'}: too large: 400 pixels")
    assert "(of mmtx data action=check: max_image_pixels)" in fault
    assert check_manifest(path, decode=True, limits=DecodeLimits(pixels=400)).rows["train"] == 1
