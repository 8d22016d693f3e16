"""The table of attributes of the demo's films, from predictions as evaluation writes them."""

import json

import pytest

from mmtx_cli.evaluation.attribute_accuracy import (
    BOTH,
    CaptionedFilm,
    add_references,
    attribute_accuracy,
    write_attributes,
)

REFERENCE = "a red circle moves left and then up while a high beep sounds at the end"
SILENT = "a blue star grows and then moves down"
CAPTIONS = [
    ("a high beep is heard while a red circle moves left", REFERENCE),
    ("a red ring moves up before it moves left, with a high beep near the end", REFERENCE),
    ("a blue star moves down after it grows, with a low hum near the end", SILENT),
]


def predictions(folder, pairs):
    folder.mkdir()
    rows = [
        {
            "id": str(i),
            "inputs": {"video": "x.mp4"},
            "captioning": {"caption": predicted, "references": [right, "x"]},
        }
        for i, (predicted, right) in enumerate(pairs)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "predictions.jsonl").write_text(text)
    return folder


def test_accuracy_of_each_attribute():
    found = attribute_accuracy([CaptionedFilm(*pair, ["video"]) for pair in CAPTIONS], resamples=50)
    assert found["count"] == 3
    assert found["counts"] == {
        **dict.fromkeys(("color", "shape", "first_movement", "second_movement", BOTH), 3),
        **dict.fromkeys(("sound", "when"), 2),
    }
    assert found["metrics"] == pytest.approx(
        {
            "color": 1,
            "shape": 2 / 3,
            "first_movement": 1 / 3,  # the first caption names one movement, the second swaps them
            "second_movement": 1 / 3,
            BOTH: 1 / 3,
            "sound": 1,
            "when": 1 / 2,
        }
    )
    assert found["intervals"].keys() == found["metrics"].keys()
    assert json.loads(json.dumps(found)) == found


def test_attributes_that_no_reference_names_have_no_figure():
    found = attribute_accuracy([CaptionedFilm(SILENT, SILENT, ["video"])], resamples=5)
    assert found["counts"]["sound"] == found["counts"]["when"] == 0
    assert not found["metrics"].keys() & {"sound", "when"}


def test_attributes_that_the_inputs_do_not_show_are_not_scored():
    heard = "there is a red circle and a high beep sounds at the end"
    unseen, seen = (CaptionedFilm("a high beep", heard, names) for names in (["audio"], ["image"]))
    assert attribute_accuracy([unseen], resamples=5)["metrics"] == {"sound": 1, "when": 0}
    both = attribute_accuracy([unseen, seen], resamples=5)
    assert both["counts"]["color"] == both["counts"]["shape"] == 1
    assert both["metrics"]["color"] == 0


def test_attributes_are_written_and_printed_by_column(tmp_path, capsys):
    whole = predictions(tmp_path / "whole", [(right, right) for _, right in CAPTIONS])
    other = predictions(tmp_path / "other", CAPTIONS)
    assert write_attributes(tmp_path, {"all modalities": whole, "without": other})
    columns = json.loads((tmp_path / "attributes.json").read_text())
    assert set(columns["all modalities"]["metrics"].values()) == {1}
    assert columns["without"]["metrics"]["when"] == 0.5
    out = capsys.readouterr().out
    for shown in ("attribute", "all modalities", "without", "first movement", "1.00 [1.00, 1.00]"):
        assert shown in out


def test_a_model_without_captions_has_no_attributes(tmp_path):
    folder = tmp_path / "eval"
    folder.mkdir()
    row = {"id": "a", "inputs": {}, "vqa": {"prediction": "x", "label": "y"}}
    (folder / "predictions.jsonl").write_text(json.dumps(row) + "\n")
    assert not write_attributes(tmp_path, {"all": folder})
    assert not (tmp_path / "attributes.json").exists()


def test_captions_get_the_references_of_their_files(tmp_path):
    rows = [{"path": "a.mp4", "caption": "x", "score": -1.0}, {"path": "b.mp4", "error": "broken"}]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    add_references(tmp_path, {"a.mp4": "a red ring"})
    found = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    assert found == [rows[0] | {"references": ["a red ring"]}, rows[1]]
