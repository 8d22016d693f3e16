"""What is wrong with files: each fault is one clear message, and all are reported at once."""

import json

import pytest

from tests.messages import faults_mention, mentions
from tests.scoring.files.writing import (
    PREDICTIONS,
    REFERENCES,
    faults,
    lines,
    loaded,
    prediction_lines,
    reference_lines,
    written,
)


def problems(tmp_path, predictions, references=None, **more):
    return faults(
        written(tmp_path, "p", predictions),
        written(tmp_path, "r", reference_lines() if references is None else references),
        **more,
    )


def test_an_id_is_a_number_in_one_file_and_text_in_the_other(tmp_path):
    numbers = lines({"id": int(i), "caption": c} for i, c in PREDICTIONS.items())
    path = written(tmp_path, "p", numbers)
    found = loaded(path, written(tmp_path, "r", reference_lines()))
    assert found.systems[0].predictions == list(PREDICTIONS.values())


def test_the_same_id_as_a_number_and_as_text_is_a_fault(tmp_path):
    references = lines([{"image_id": 1, "caption": "a"}, {"image_id": "1", "caption": "b"}])
    found = problems(tmp_path, lines([{"id": 1, "caption": "a"}]), references)
    faults_mention(found, ("r:2: ", "id 1 is text here and a number at", "r:1"))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("{:>03}", "without leading zeros"),
        ("{}.jpg", "without their extension"),
        ("images/{}", "without their folder"),
        ("images/{}.png", "without folder and extension"),
        ("COCO_val2014_{:>012}.jpg", "by the number at their end"),
        ("{}.0", "without “.0”"),
        (" {}", "without white space"),
    ],
)
def test_ids_written_in_another_way_are_suggested(form, words, tmp_path):
    rows = lines({"id": form.format(i), "caption": c} for i, c in PREDICTIONS.items())
    first, second = problems(tmp_path, rows)
    faults_mention([first], ("p:1: ", "3 of 3 predictions", "no references", words, "'1'"))
    faults_mention([second], ("r:1: ", "3 of 3 ids", "no prediction", ": 1, 2, 3;"))


def test_every_fault_of_both_files_at_once(tmp_path):
    predictions = [
        {"id": "1", "caption": "a dog"},
        {"id": "1", "caption": "a cow"},
        {"id": "2", "caption": None},
        {"id": "9", "caption": "a dog"},
    ]
    references = [
        {"id": "1", "captions": ["a dog"]},
        {"id": "2", "captions": ["a cat", " "]},
        {"id": "3", "captions": ["a cat"]},
    ]
    faults_mention(
        problems(tmp_path, lines(predictions), lines(references)),
        ("r:2: ", "id 2", "empty reference"),
        ("p:2: ", "duplicate prediction of id 1", "p:1"),
        ("p:3: ", "id 2 has no caption string"),
        ("p:4: ", "1 of 3 predictions", ": 9;"),
        ("r:3: ", "1 of 3 ids", ": 3;"),
    )


@pytest.mark.parametrize("cell", ["nan", "NaN", "<NA>"])
def test_nan_in_a_table(cell, tmp_path):
    rows = f"id,caption\n1,a dog\n2,{cell}\n3,a cat\n"
    faults_mention(problems(tmp_path, rows), ("p:3: ", "id 2", "NaN"))
    faults_mention(
        problems(tmp_path, prediction_lines(), rows), ("r:3: ", "id 2", "caption is NaN")
    )
    rows = '{"id": 1, "caption": NaN}\n' + prediction_lines().split("\n", 1)[1]
    faults_mention(problems(tmp_path, rows), ("p:1: ", "id 1", "NaN"))


def test_ragged_rows_and_repeated_columns(tmp_path):
    found = problems(tmp_path, "id,caption\n1,a dog, brown\n2\n3,a cat\n")
    faults_mention(found, ("p:2: ", "3 cells for 2 columns"), ("p:3: ", "1 cells for 2 columns"))
    found = problems(tmp_path, "id,caption,caption\n1,a,b\n")
    faults_mention(found, ("p:1: ", "column caption occurs twice"))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("id,caption\n1,a\n".encode("utf-16"), ["p: ", "UTF-16", "UTF-8"]),
        ("id,caption\n1,café\n".encode("latin-1"), ["p:2: ", "UTF-8"]),
        ("一只狗\n".encode("gbk"), ["p:1: ", "UTF-8"]),
        (b"a dog\n\0\n", ["p:2: ", "NUL"]),
        (b"\x80\x04\x95", ["p: ", "pickle", "TSV"]),
        (b"\x1f\x8b\x08\x00", ["p: ", "compressed"]),
        (b"", ["p: ", "empty"]),
        (b"[1, 2", ["p:1: ", "JSON"]),
    ],
)
def test_files_that_cannot_be_read(content, parts, tmp_path):
    faults_mention(problems(tmp_path, content)[:1], parts)


def test_a_damaged_line_names_its_place(tmp_path):
    rows = 'oops\n{"id": 1, "caption": "a"}\n{"id": 2, "caption": "b"}\n{"id": 3, "caption": "c"}'
    faults_mention(problems(tmp_path, rows), ("p:1: ", "invalid JSON"))


def test_plain_references_do_not_fit_predictions_with_ids(tmp_path):
    found = problems(tmp_path, prediction_lines(), "a dog\na cat\na cow\n")
    faults_mention(found, ("r: ", "plain text has no ids"))


def test_no_references_anywhere(tmp_path):
    path = written(tmp_path, "p", json.dumps([{"image_id": 1, "caption": "a"}]))
    faults_mention(faults(path), ("p: ", "COCO results", "references=FILE"))
    rows = [{"prompt": "x", "predict": "a", "label": label} for label in ("b", "")]
    path = written(tmp_path, "p", lines(rows))
    faults_mention(faults(path), ("p:2: ", "1 of 2 rows have no references", "ids 1"))


def test_predictions_in_another_language(tmp_path):
    chinese = lines({"id": i, "caption": "一只狗在草地上跑"} for i in PREDICTIONS)
    faults_mention(problems(tmp_path, chinese), ("p: ", "3 of 3", "100.0 % Han", "100.0 % Latin"))
    found = loaded(
        written(tmp_path, "p", chinese), written(tmp_path, "r", reference_lines()), language="en"
    )
    faults_mention(found.notes, ("p: ", "3 of 3", "Han"))
    rows = [{"id": i, "caption": c} for i, c in PREDICTIONS.items()]
    rows[1]["caption"] = "一只狗在草地上跑"
    found = loaded(written(tmp_path, "p", lines(rows)), written(tmp_path, "r", reference_lines()))
    faults_mention(found.notes, ("p: ", "1 of 3", "33.3 % Han", "ids 2"))


def test_a_language_that_the_script_contradicts(tmp_path):
    references = written(
        tmp_path, "r", lines({"id": i, "captions": ["一只狗在草地上跑"]} for i in PREDICTIONS)
    )
    predictions = written(
        tmp_path, "p", lines({"id": i, "caption": "一只狗在跑"} for i in PREDICTIONS)
    )
    for code in ("chi", "cn", "en"):
        found = faults(predictions, references, language=code)
        faults_mention(found, (f"language={code}: ", "100.0 % Han", "language=zh", "tokenizer="))
    mentions(loaded(predictions, references, language="zh-TW").notes[0], "char", "jieba")
    assert len(loaded(predictions, references, language="en", tokenizer="char").systems) == 1


def test_references_in_several_languages(tmp_path):
    references = [
        {"id": i, "captions": [own[0], "一只狗在草地上跑"]} for i, own in REFERENCES.items()
    ]
    found = problems(tmp_path, prediction_lines(), lines(references))
    faults_mention(found, ("r: ", "several scripts", "50.0 % Latin", "language="))


@pytest.mark.parametrize("empty", ["[]", "id,caption\n", "id\tcaption\n"])
def test_predictions_without_rows_are_missing_predictions(tmp_path, empty):
    faults_mention(problems(tmp_path, empty), ("r:1: ", "3 of 3 ids have no prediction", "1, 2, 3"))


def test_faults_of_a_file_that_is_also_the_references(tmp_path):
    path = written(tmp_path, "p", reference_lines())
    assert all("predictions; keep one" in fault for fault in faults(path, path))


def test_lists_written_as_text_in_a_table(tmp_path):
    rows = [f"{name}\t['{caption}']" for name, caption in PREDICTIONS.items()]
    table = "\n".join(["id\tcaption", *rows])
    references = written(tmp_path, "r", reference_lines())
    found = loaded(written(tmp_path, "p", table), references)
    assert found.systems[0].predictions == list(PREDICTIONS.values())
    several = table.replace("']", "', 'a dog']", 1)
    faults_mention(problems(tmp_path, several), ("p:2: ", "id 1 has 2 predictions"))


def test_systems_with_other_references_of_their_own(tmp_path):
    def rows(reference):
        return lines(
            {"id": name, "caption": own, "references": [reference if name == "2" else "a dog"]}
            for name, own in PREDICTIONS.items()
        )

    first = written(tmp_path, "p", rows("two men"))
    assert len(loaded([first, written(tmp_path, "q", rows("two men"))]).systems) == 2
    found = faults([first, written(tmp_path, "q", rows("a girl"))])
    faults_mention(found, ("q:2: ", "1 of 3 rows", "other references", "ids 2", "references=FILE"))


def test_numbered_references_that_appear_late_are_used(tmp_path):
    rows = [{"id": str(n), "caption_1": f"a dog {n}"} for n in range(30)]
    rows[25]["caption_2"] = "a cat"
    rows[27]["caption_3"] = "a cow"
    references = written(tmp_path, "r.jsonl", lines(rows))
    predictions = written(
        tmp_path, "p.jsonl", lines({"id": str(n), "caption": "a"} for n in range(30))
    )
    (found,) = loaded(predictions, references).systems
    assert found.references[25] == ["a dog 25", "a cat"]
    assert found.references[27] == ["a dog 27", "a cow"]
    assert found.references[26] == ["a dog 26"]


def test_other_references_that_appear_late_are_an_error(tmp_path):
    rows = [{"id": str(n), "caption": f"a dog {n}"} for n in range(30)]
    rows[25]["reference_2"] = "a cat"
    rows[27]["captions"] = ["a cow"]
    references = written(tmp_path, "r.jsonl", lines(rows))
    predictions = written(
        tmp_path, "p.jsonl", lines({"id": str(n), "caption": "a"} for n in range(30))
    )
    faults_mention(
        faults(predictions, references),
        ("r.jsonl:26: reference_2 ", "reference_columns"),
        ("r.jsonl:28: captions ", "reference_columns"),
    )


def test_a_damaged_line_of_flickr_captions_is_named(tmp_path):
    good = [
        f"{name}.jpg#{n}\t{text}" for name, own in REFERENCES.items() for n, text in enumerate(own)
    ]
    references = written(
        tmp_path, "r.txt", "\n".join([*good[:2], "2.jpg a damaged line", *good[2:]])
    )
    predictions = written(
        tmp_path, "p.jsonl", lines({"id": f"{n}.jpg", "caption": "a"} for n in REFERENCES)
    )
    faults_mention(faults(predictions, references), ("r.txt:3: ", "NAME#NUMBER"))


def test_ids_of_images_that_are_floats_are_those_of_annotations(tmp_path):
    images = [{"id": float(n), "file_name": f"{n}.jpg"} for n in REFERENCES]
    annotations = [
        {"id": 1, "image_id": int(n), "caption": text}
        for n, own in REFERENCES.items()
        for text in own
    ]
    references = written(
        tmp_path, "r.json", json.dumps({"images": images, "annotations": annotations})
    )
    (found,) = loaded(written(tmp_path, "p.jsonl", prediction_lines()), references).systems
    assert found.ids == ["1", "2", "3"]
    images[1]["id"] = None
    references.write_text(json.dumps({"images": images, "annotations": annotations}))
    faults_mention(faults(tmp_path / "p.jsonl", references), ("r.json: image 1: ", "id is null"))


def test_times_that_are_no_numbers_are_an_error(tmp_path):
    rows = [
        {"id": n, "video": "a.mp4", "start": start, "end": 2, "captions": own}
        for (n, own), start in zip(REFERENCES.items(), (float("nan"), "soon", 1), strict=True)
    ]
    references = written(tmp_path, "r.jsonl", lines(rows))
    faults_mention(
        faults(written(tmp_path, "p.jsonl", prediction_lines()), references),
        ("r.jsonl:1: start is NaN", "seconds"),
        ("r.jsonl:2: ", 'start is "soon"'),
    )


@pytest.mark.parametrize(("other", "noted"), [(7, True), (0, False)])
def test_several_columns_of_ids_are_noted_where_they_differ(tmp_path, other, noted):
    rows = [
        {"id": int(n) + other, "image_id": int(n), "caption": c} for n, c in PREDICTIONS.items()
    ]
    references = written(tmp_path, "r.jsonl", reference_lines())
    found = loaded(written(tmp_path, "p.jsonl", lines(rows)), references)
    assert any("rows have image_id and id, which differ; they are joined by image_id" in note
               for note in found.notes) == noted  # fmt: skip


def test_other_keys_of_a_manifest_that_appear_late_do_not_count(tmp_path):
    rows = [{"id": str(n), "captions": [f"a dog {n}"]} for n in range(30)]
    rows[25] |= {"text": "a sign", "answers": ["yes"], "caption": "a cat"}
    references = written(tmp_path, "r.jsonl", lines(rows))
    captions = lines({"id": str(n), "caption": "a"} for n in range(30))
    (found,) = loaded(written(tmp_path, "p.jsonl", captions), references).systems
    assert found.references[25] == ["a dog 25"]


def test_lines_of_classic_mac_are_an_error(tmp_path):
    references = written(tmp_path, "r.jsonl", reference_lines())
    table = written(tmp_path, "p.csv", "id,caption\r1,a dog\r2,two men\r3,a girl\r")
    faults_mention(faults(table, references), ("p.csv: ", "carriage return", "line feeds"))
