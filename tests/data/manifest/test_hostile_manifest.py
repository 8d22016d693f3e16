"""Manifests, cards and tables of unknown origin: every fault is a message, and nothing hangs."""

import json
import os
import re
import time

import pytest

from mmtx_cli.data.importer import coco, vqa
from mmtx_cli.data.importer import csv as csv_table
from mmtx_cli.data.manifest import table_file
from mmtx_cli.data.manifest.read import read_faulty, read_manifest
from mmtx_cli.errors import DataError
from mmtx_cli.io.jsonl import MAX_DEPTH
from mmtx_cli.io.unicode import MAX_MARKS, composed
from mmtx_cli.scoring.files.read import read_predictions, read_references
from tests.command_line import refused
from tests.messages import mentions, raises

LONG = "9" * 400
ROW = '{"id": "a", "split": "train", '


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (f'"answers": {{"red": {LONG}}}', ["answers ", "'red'", "999"]),
        (f'"answers": {{"red": -{LONG}}}', ["answers ", "'red'", "-999"]),
        ('"answers": {"red": NaN}', ["answers ", "'red'", "NaN"]),
        ('"answers": {"\\ud800": 1}', ["answers", "surrogate"]),
        (f'"label": {LONG}', ["label ", " 999"]),
        (f'"label": -{LONG}', ["label ", " -999"]),
        ('"label": Infinity', ["label ", "finite number"]),
        (f'"start": {LONG}', ["start ", "seconds"]),
        ('"features": {"audio": "\\ud800.npy"}', ["features.audio", "surrogate"]),
        ('"features": {"audio": "a\\u0000.npy"}', ["features.audio", "NUL"]),
        (
            '"features": {"audio": {"path": "a.npz", "key": "\\udfff"}}',
            ["features.audio.key", "surrogate"],
        ),
        (
            f'"features": {{"audio": {{"path": "a.npy", "row": -{LONG}}}}}',
            ["features.audio.row", "-999", " 0"],
        ),
        ('"image": "\\ud800.png"', ["image", "surrogate"]),
        ('"image": ["a\\u0000.png"]', ["image", "NUL"]),
        ('"video": "\\udcff.mp4"', ["video", "surrogate"]),
        ('"captions": ["\\ud800"]', ["captions", " 1"]),
        ('"text": "\\udfff"', ["text", "surrogate"]),
        (f'"label": {"9" * 5000}', ["JSON", "digits"]),
        (f'"text": {"[" * 100_000}', ["JSON"]),
        (f'"x": {"[" * 70}{"]" * 70}', [f"{MAX_DEPTH} levels"]),
        ('"x": 1, "x": 2', ["key 'x'"]),
        (", ".join(f'"k{i}": 1' for i in range(10_001)), ["10,003 keys", "10,000"]),
    ],
)
def test_a_row_is_refused_by_its_line(row, fault, tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"id": "b", "split": "train"}}\n{ROW}{row}}}\n')
    manifest, faults = read_faulty(path, check_files=False)
    here = [f.removeprefix(f"{path}:2: ") for f in faults if f.startswith(f"{path}:2: ")]
    assert any(all(part in f for part in fault) for f in here), faults
    assert [s.id for s in manifest.samples] == ["b"]


@pytest.mark.parametrize("cells", [["nan", "1.5"], ["inf", "3"], ["1e999", "2.5"], [LONG, "0.5"]])
def test_a_column_of_numbers_has_finite_ones(cells, tmp_path):
    path = tmp_path / "m.csv"
    rows = (f"{i},train,{cell}" for i, cell in enumerate(cells))
    path.write_text("\n".join(["id,split,label", *rows]) + "\n")
    with raises(DataError, f"{path}:2: label ", f"'{cells[0]}'", "finite number"):
        read_manifest(path)


def test_infinity_may_be_the_name_of_a_class(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("id,split,label\n1,train,inf\n2,train,zero\n")
    assert read_manifest(path).label_names == ["inf", "zero"]


@pytest.fixture
def short(monkeypatch):
    """Lines of at most a thousand bytes, so that tests need no files of megabytes."""
    monkeypatch.setattr(table_file, "MAX_LINE", 1000)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.jsonl", '{"id": "a", "split": "train", "text": "' + "x" * 1000),
        ("m.csv", "id,split,text\na,train," + "x" * 1001),
        ("m.tsv", "id\tsplit\ttext\na\ttrain\t" + "x" * 1001),
        ("m.csv", 'id,split,text\na,train,"' + "x\n" * 600),
    ],
)
def test_a_line_without_an_end_is_refused(name, text, tmp_path, short):
    path = tmp_path / name
    path.write_text(text)
    # bytes of a line, or characters of a field, as Python's csv says it
    with raises(DataError, f"{path}:") as caught:
        read_manifest(path)
    assert re.search(r"\d bytes|field limit \(1000\)", str(caught.value))


@pytest.mark.parametrize("name", ["m.jsonl", "m.csv", "m.tsv"])
def test_a_manifest_that_is_no_file(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with raises(DataError, f"{tmp_path / name}: ", "manifest"):
        read_manifest(tmp_path / name)


@pytest.mark.parametrize("columns", [3, 200_000])
def test_a_header_of_any_width_is_read_at_once(columns, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"c{i}" for i in range(columns)) + "\n")
    begun = time.monotonic()
    with pytest.raises(DataError):
        list(csv_table.rows(path, tmp_path))
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("root", ["..", "../..", "/", "/etc", "a/../..", "link", "./../x"])
def test_a_card_does_not_lead_out_of_its_folder(root, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path)
    (folder / "m.jsonl").write_text(f'{ROW}"image": "secret.png"}}\n')
    (folder / "m.yaml").write_text(f"root: {root}\n")
    place = f"{folder / 'm.yaml'}: root {root} "
    with raises(DataError, place, " data.allow_outside_root=true"):
        read_manifest(folder / "m.jsonl")
    message = refused("data", "action=check", f"manifest={folder / 'm.jsonl'}")
    mentions(message, place, " allow_outside_root=true")
    read_manifest(folder / "m.jsonl", allow_outside_root=True, check_files=False)
    assert read_manifest(folder / "m.jsonl", root=tmp_path).samples


@pytest.mark.parametrize("root", ["a", "./a", "a/b/..", "."])
def test_a_card_may_lead_further_in(root, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for place in (tmp_path, tmp_path / "a"):
        (place / "x.png").write_bytes(b"x")
    (tmp_path / "m.jsonl").write_text(f'{ROW}"image": "x.png"}}\n')
    (tmp_path / "m.yaml").write_text(f"root: {root}\n")
    assert len(read_manifest(tmp_path / "m.jsonl").samples) == 1


@pytest.mark.parametrize("root", ['"\\ud800"', '"a\\0b"', '"\\udfff/.."'])
def test_the_root_of_a_card_is_a_path(root, tmp_path):
    (tmp_path / "m.jsonl").write_text(f'{ROW}"text": "x"}}\n')
    (tmp_path / "m.yaml").write_text(f"root: {root}\n")
    with raises(DataError, tmp_path / "m.yaml", "root"):
        read_manifest(tmp_path / "m.jsonl")


DOCUMENTS = {
    "brackets": "[" * 100_000,
    "deep": '{"annotations": ' + "[" * 100 + "]" * 100 + "}",
    "a long number": '{"annotations": [' + "9" * 5000 + "]}",
    "a key twice": '{"annotations": [], "annotations": []}',
    "half a pair": '{"images": [{"id": "\\ud800", "file_name": "a"}], "annotations": [{}]}',
    "not UTF-8": b'{"annotations": "\xff"}',
    "a text": '"annotations"',
    "images of a number": '{"images": 5, "annotations": [{"image_id": 1, "caption": "a"}]}',
}


def faults_of_captions(read, path):
    """What is wrong with a file, whether it is of the whole file or of its rows."""
    try:
        return " ".join(read(path).faults)
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_of_captions(name, tmp_path):
    path, content = tmp_path / "x.json", DOCUMENTS[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (
        lambda: list(coco.rows(path, tmp_path, "train")),
        lambda: list(vqa.rows(path, path, tmp_path, "train")),
    ):
        with raises(DataError, path):
            read()
    for read in (read_references, read_predictions):
        assert "x.json" in faults_of_captions(read, path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p)])
def test_documents_that_are_no_files(make, tmp_path):
    path = tmp_path / "x.json"
    make(path)
    for read in (
        lambda: list(coco.rows(path, tmp_path, "train")),
        lambda: list(vqa.rows(path, None, tmp_path, "train")),
        lambda: read_references(path),
    ):
        with raises(DataError, f"{path}: ", "regular file"):
            read()


def test_a_subtype_is_no_format(tmp_path):
    path = tmp_path / "q.json"
    questions = [{"question_id": 1, "image_id": 2, "question": "what?"}]
    path.write_text(json.dumps({"data_subtype": "{0.real}{x}", "questions": questions}))
    ((_, row),) = vqa.rows(path, None, tmp_path, "test")
    assert row["image"].endswith("COCO_{0.real}{x}_000000000002.jpg")


def test_texts_of_accents_are_read_at_once():
    begun = time.monotonic()
    text = "a" + "\u0315" * 100_000 + "\u0300" * 100_000
    assert composed(text) == text
    assert time.monotonic() - begun < 10
    assert composed("e\u0301" * MAX_MARKS) == "é" * MAX_MARKS
