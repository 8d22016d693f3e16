"""Files of no particular tool: tables, plain text, and columns with unusual names."""

import json

import pytest

from tests.messages import faults_mention
from tests.scoring.files.writing import (
    CAPTIONS,
    PREDICTIONS,
    REFERENCES,
    faults,
    lines,
    loaded,
    prediction_lines,
    reference_lines,
    written,
)

ALL = list(REFERENCES.values())


def table(header, rows, mark=","):
    return "".join(mark.join(cells) + "\n" for cells in [header, *rows])


EACH = [(i, caption) for i, own in REFERENCES.items() for caption in own]
JOINED = [(i, " | ".join(own)) for i, own in REFERENCES.items()]
APART = [(i, *own) for i, own in REFERENCES.items()]

PREDICTION_FILES = {
    "JSON Lines": prediction_lines(),
    "CSV": table(["id", "caption"], PREDICTIONS.items()),
    "TSV": table(["image_id", "prediction"], PREDICTIONS.items(), "\t"),
    "semicolons": table(["ID", "Caption"], PREDICTIONS.items(), ";"),
    "COCO": json.dumps([{"image_id": int(i), "caption": c} for i, c in PREDICTIONS.items()]),
    "by id": json.dumps({i: [c] for i, c in PREDICTIONS.items()}),
    "text": "\n".join(CAPTIONS),
    "CRLF": "\r\n".join(CAPTIONS) + "\r\n",
}
REFERENCE_FILES = {
    "JSON Lines": reference_lines(),
    "row a caption": table(["id", "caption"], EACH),
    "list in a cell": table(["id", "captions"], JOINED),
    "numbered columns": table(["id", "caption_1", "caption_2"], APART),
    "the first without number": table(["id", "caption", "caption_2"], APART),
    "beside a prediction": table(
        ["id", "caption", "reference_1", "reference_2"], [(i, "x", *own) for i, *own in APART]
    ),
    "by id": json.dumps(REFERENCES),
    "Flickr8k": "".join(f"{i}#{n}\t{c}\n" for n, (i, c) in enumerate(EACH)),
}


@pytest.mark.parametrize("references", REFERENCE_FILES)
@pytest.mark.parametrize("predictions", PREDICTION_FILES)
def test_every_form_gives_the_same_captions(predictions, references, tmp_path):
    """Recognized by the content: the names of the files say nothing."""
    found = loaded(
        written(tmp_path, "p.dat", PREDICTION_FILES[predictions]),
        written(tmp_path, "r.dat", REFERENCE_FILES[references]),
    )
    (captions,) = found.systems
    assert captions.predictions == CAPTIONS
    assert captions.references == ALL
    assert captions.ids == list(REFERENCES)
    assert all(file["format"] for file in found.files)


def test_plain_text_in_the_order_of_several_reference_files(tmp_path):
    paths = [
        written(tmp_path, f"ref{n}", "\n".join(own[n] for own in ALL) + "\n") for n in range(2)
    ]
    predictions = written(tmp_path, "p.txt", "\n".join(CAPTIONS) + "\n")
    found = loaded(predictions, paths)
    assert found.systems[0].references == ALL
    assert found.systems[0].ids == ["0", "1", "2"]
    assert found.files[1] == {
        "role": "predictions",
        "path": str(predictions),
        "format": "plain text",
        "samples": 3,
        "joined_by": "order",
    }
    written(tmp_path, "ref1", "x\n\ny\n")
    found = loaded(predictions, paths)
    assert found.systems[0].references[1] == ALL[1][:1]
    faults_mention(found.notes, ("ref1: ", "1 of 3 lines are empty", "ids 1"))
    written(tmp_path, "ref1", "x\n")
    faults_mention(faults(predictions, paths), ("references: ", "ref0: 3", "ref1: 1"))


def test_an_empty_line_is_a_prediction_and_no_reference(tmp_path):
    text = "a dog\n\na cat\n"
    found = loaded(written(tmp_path, "p.txt", text), written(tmp_path, "r.txt", "a\nb\nc"))
    assert found.systems[0].predictions == ["a dog", "", "a cat"]
    faults_mention(found.notes, ("p.txt: ", "1 of 3 predictions are empty", "ids 1"))
    found = faults(written(tmp_path, "p.txt", "a\nb\nc"), written(tmp_path, "r.txt", text))
    faults_mention(found, ("r.txt:2: ", "empty reference"))


def test_two_kinds_of_numbered_columns_are_not_guessed(tmp_path):
    rows = [(i, *own, "x") for i, *own in APART]
    for last in ("reference_1", "captions"):
        references = table(["id", "caption_1", "caption_2", last], rows)
        found = faults(
            written(tmp_path, "p.csv", PREDICTION_FILES["CSV"]),
            written(tmp_path, "r.csv", references),
        )
        faults_mention(found, ("r.csv:1: ", "several columns", "caption_1", last))


def test_columns_are_named_by_keys(tmp_path):
    predictions = written(tmp_path, "p.csv", table(["file", "says"], PREDICTIONS.items()))
    references = written(tmp_path, "r.csv", table(["key", "gold"], JOINED))
    columns = {
        "prediction_columns": {"id": "file", "caption": "says"},
        "reference_columns": {"id": "key", "caption": "gold"},
    }
    found = loaded(predictions, references, **columns)
    assert found.systems[0].predictions == CAPTIONS
    assert found.systems[0].references == ALL
    assert found.files[1]["columns"] == {"id": "file", "caption": "says"}
    columns["prediction_columns"] = {"id": "fil", "caption": "text"}
    faults_mention(
        faults(predictions, references, **columns),
        ("p.csv:1: ", "prediction_columns.id: ", "'fil'", "did you mean 'file'?"),
        ("p.csv:1: ", "prediction_columns.caption: ", "file, says"),
    )


def test_columns_without_a_header_are_numbered(tmp_path):
    predictions = written(tmp_path, "p.csv", table(["1", CAPTIONS[0]], [*PREDICTIONS.items()][1:]))
    references = written(tmp_path, "r.jsonl", reference_lines())
    found = loaded(predictions, references, prediction_columns={"id": 1, "caption": 2})
    assert found.systems[0].predictions == CAPTIONS
    message = faults(predictions, references)
    faults_mention(message, ("p.csv:1: ", "names no known columns", "prediction_columns="))
    written(
        tmp_path,
        "p.csv",
        table(["file", "says"], [(f"{i}.jpg", c) for i, c in PREDICTIONS.items()]),
    )
    faults_mention(
        faults(predictions, references), ("p.csv:1: ", "'file,says'", "prediction_columns=")
    )


def test_columns_of_references_in_the_file_of_predictions(tmp_path):
    rows = [(i, PREDICTIONS[i], own[0]) for i, own in REFERENCES.items()]
    path = written(tmp_path, "p.csv", table(["id", "caption", "gold"], rows))
    found = loaded(path, reference_columns={"caption": "gold"})
    assert found.systems[0].references == [own[:1] for own in ALL]
    faults_mention(faults(path), ("p.csv: ", "no references of its own", "references=FILE"))


def test_ambiguous_columns_are_not_guessed(tmp_path):
    rows = lines({"id": i, "output": c, "text": c} for i, c in PREDICTIONS.items())
    path, references = written(tmp_path, "p", rows), written(tmp_path, "r", reference_lines())
    parts = ("p:1: ", "several columns", "output, text", "prediction_columns={caption: output}")
    faults_mention(faults(path, references), parts)
    found = loaded(path, references, prediction_columns={"caption": "text"})
    assert found.systems[0].predictions == CAPTIONS


def test_a_manifest_as_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"id": i, "split": "test", "captions": own} for i, own in REFERENCES.items()]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "r")
    found = loaded(written(tmp_path, "p", prediction_lines()), tmp_path / "r", split="test")
    assert found.systems[0].references == ALL
    assert found.files[0]["format"] == "Parquet"


def test_several_systems_share_ids_and_references(tmp_path):
    references = written(tmp_path, "r", reference_lines())
    other = lines({"id": i, "caption": "a cat"} for i in reversed(PREDICTIONS))
    found = loaded(
        [written(tmp_path, "a", prediction_lines()), written(tmp_path, "b", other)], references
    )
    assert [own.predictions for own in found.systems] == [CAPTIONS, ["a cat"] * 3]
    assert found.systems[0].ids == found.systems[1].ids


def test_predictions_that_are_the_references_are_noted(tmp_path):
    path = written(tmp_path, "r.tsv", table(["id", "caption"], PREDICTIONS.items(), "\t"))
    (note,) = loaded(path, path).notes
    assert "every prediction is one of its references" in note
    assert not loaded(
        written(tmp_path, "p.jsonl", prediction_lines()),
        written(tmp_path, "r.jsonl", reference_lines()),
    ).notes
