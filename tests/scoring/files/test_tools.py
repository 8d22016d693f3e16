"""Files of predictions in exactly the form in which each tool writes them."""

import csv
import io
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
    reference_lines,
    written,
)

ASK = "<|im_start|>user\n<image>Describe the image.<|im_end|>\n<|im_start|>assistant\n"


def ms_swift(**more):
    """``infer_result/*.jsonl`` of ``swift infer`` (4.x): the row of the data set comes last."""
    return lines(
        {
            "response": PREDICTIONS[name],
            "labels": own[0],
            "logprobs": None,
            "messages": [
                {"role": "user", "content": "<image>Describe the image."},
                {"role": "assistant", "content": PREDICTIONS[name]},
            ],
            "images": [{"bytes": None, "path": f"/data/images/{name}.jpg"}],
            **more,
        }
        for name, own in REFERENCES.items()
    )


def llama_factory():
    """``generated_predictions.jsonl``."""
    return lines(
        {"prompt": ASK, "predict": PREDICTIONS[name], "label": own[0]}
        for name, own in REFERENCES.items()
    )


def lmms_eval():
    """``DATE_samples_TASK.jsonl``: the target is the text of a Python list."""
    return lines(
        {
            "doc_id": int(name) - 1,
            "target": str(own),
            "filtered_resps": PREDICTIONS[name],
            "token_counts": [{"input_tokens": None, "output_tokens": 7, "reasoning_tokens": None}],
            "doc_hash": "1f" * 32,
            "coco_Bleu_4": {"answer": own, "pred": PREDICTIONS[name], "image_id": 7, "id": 0},
            "input": "Provide a one-sentence caption for the provided image.",
        }
        for name, own in REFERENCES.items()
    )


def older_lmms_eval():
    """Before responses were flattened, with ``arguments`` and ``doc``."""
    return lines(
        {
            "doc_id": int(name) - 1,
            "doc": {"question_id": f"COCO_val2014_{name:>012}.jpg", "answer": own},
            "target": str(own),
            "arguments": ["Provide a one-sentence caption."],
            "resps": [[PREDICTIONS[name]]],
            "filtered_resps": [PREDICTIONS[name]],
        }
        for name, own in REFERENCES.items()
    )


def vlmevalkit():
    """``MODEL_DATASET.tsv`` (PRED_FORMAT=tsv): all cells quoted, the answer a Python list."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["index", "answer", "image_path", "question", "prediction"])
    for name, own in REFERENCES.items():
        row = [name, str(own), f"{name}.jpg", "Please describe this image.", PREDICTIONS[name]]
        writer.writerow(row)
    return file.getvalue()


def vlmevalkit_json():
    """``MODEL_DATASET.json`` (PRED_FORMAT=json)."""
    rows = [
        {"index": int(name), "answer": str(own), "prediction": PREDICTIONS[name]}
        for name, own in REFERENCES.items()
    ]
    return json.dumps(rows, indent=4, ensure_ascii=False)


ONE = [own[:1] for own in REFERENCES.values()]
ALL = list(REFERENCES.values())


@pytest.mark.parametrize(
    ("content", "form", "ids", "references"),
    [
        (ms_swift(), "ms-swift inference results", "012", ONE),
        (llama_factory(), "LLaMA-Factory predictions", "012", ONE),
        (lmms_eval(), "lmms-eval samples", "012", ALL),
        (older_lmms_eval(), "lmms-eval samples", "012", ALL),
        (vlmevalkit(), "VLMEvalKit predictions (TSV)", "123", ALL),
        (vlmevalkit_json(), "VLMEvalKit predictions (JSON)", "123", ALL),
    ],
)
def test_tools_bring_their_own_references(content, form, ids, references, tmp_path):
    found = loaded(written(tmp_path, "any.name", content))
    (captions,) = found.systems
    assert captions.predictions == CAPTIONS
    assert captions.references == references
    assert captions.ids == list(ids)
    assert found.files[1]["format"].startswith(form)
    assert found.files[0]["format"].startswith(f"references in {form}")
    assert not found.notes


@pytest.mark.parametrize("content", [ms_swift(), llama_factory()])
def test_rows_without_ids_are_taken_in_the_order_of_the_references(content, tmp_path):
    references = written(tmp_path, "refs.jsonl", reference_lines())
    found = loaded(written(tmp_path, "p.jsonl", content), references)
    (captions,) = found.systems
    assert captions.predictions == CAPTIONS
    assert captions.references == ALL
    assert captions.ids == list(REFERENCES)
    faults_mention(found.notes, ("p.jsonl: ", "no ids", "order of", "refs.jsonl"))
    fewer = written(tmp_path, "p.jsonl", "\n".join(content.splitlines()[:2]))
    faults_mention(faults(fewer, references), ("p.jsonl: ", "2 rows", "refs.jsonl 3"))


def test_labels_that_are_not_among_the_references_are_noted(tmp_path):
    references = written(tmp_path, "refs.jsonl", reference_lines())
    rows = llama_factory().splitlines(keepends=True)
    found = loaded(written(tmp_path, "p.jsonl", "".join(reversed(rows))), references)
    faults_mention(found.notes[1:], ("p.jsonl: ", "2 of 3 rows", "labels", "ids 1, 3"))


def test_pictures_of_ms_swift_are_found_in_a_manifest(tmp_path):
    rows = [
        {"id": f"s{name}", "split": "test", "image": f"{name}.jpg", "captions": own}
        for name, own in reversed(REFERENCES.items())
    ]
    references = written(tmp_path, "m.jsonl", lines(rows))
    found = loaded(written(tmp_path, "p.jsonl", ms_swift()), references)
    (captions,) = found.systems
    assert captions.ids == ["s3", "s2", "s1"]
    assert captions.predictions == CAPTIONS[::-1]
    faults_mention(found.notes, ("p.jsonl: ", "3 paths", "/data/images/1.jpg"))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (
            lines([{"doc_id": 0, "target": "a", "resp": "a dog", "doc_hash": "1"}]),
            ["lmms-eval", "doc_id, target, resp, doc_hash", "filtered_resps"],
        ),
        (
            lines([{"prompt": "x", "label": "a dog", "pred_0": "a"}]),
            ["LLaMA-Factory", "prompt, label, pred_0", "prompt, predict, label"],
        ),
        (
            lines([{"messages": [], "labels": "a dog", "choices": []}]),
            ["ms-swift", "messages, labels, choices", "response"],
        ),
        (
            "index\tquestion\tanswer\tmodel_says\n1\tWhat?\ta dog\ta dog\n",
            ["VLMEvalKit", "index, question, answer, model_says", "index, prediction, answer"],
        ),
    ],
)
def test_other_versions_of_a_tool_name_the_columns(content, parts, tmp_path):
    path = written(tmp_path, "p", content)
    expected = ("p:1: ", *parts, "another version", "prediction_columns={caption: ")
    faults_mention(faults(path, written(tmp_path, "r", reference_lines())), expected)


def test_failed_requests_and_empty_answers_are_counted(tmp_path):
    rows = vlmevalkit().replace(CAPTIONS[0], "Failed to obtain answer via API.")
    rows = rows.replace(CAPTIONS[2], "")
    found = loaded(written(tmp_path, "p.tsv", rows))
    assert found.systems[0].predictions[2] == ""
    faults_mention(
        sorted(found.notes),
        ("p.tsv: ", "1 of 3 predictions are empty", "score 0: ids 3"),
        ("p.tsv: ", "1 of 3", "failed request", "ids 1"),
    )


def test_several_answers_to_a_question_are_no_caption(tmp_path):
    rows = lines([{"doc_id": 0, "filtered_resps": ["a", "b"], "target": "a"}])
    faults_mention(faults(written(tmp_path, "p.jsonl", rows)), ("p.jsonl:1: ", "2 predictions"))


def test_excel_needs_a_library_or_is_read(tmp_path):
    path = tmp_path / "p.xlsx"
    try:
        from openpyxl import Workbook
    except ImportError:  # no test is skipped: each side has its own
        path.write_bytes(b"PK\x03\x04" + bytes(30))
        faults_mention(faults(path), ("p.xlsx: ", "openpyxl", "mmtx[xlsx]", "TSV"))
        return
    book = Workbook()
    book.active.append(["index", "answer", "prediction"])
    for name, own in REFERENCES.items():
        book.active.append([int(name), str(own), PREDICTIONS[name]])
    book.save(path)
    found = loaded(path)
    assert found.systems[0].predictions == CAPTIONS
    assert found.systems[0].references == ALL
    assert found.files[1]["format"] == "VLMEvalKit predictions (Excel)"
    path.write_bytes(b"PK\x03\x04" + bytes(30))
    faults_mention(faults(path), ("p.xlsx: ", "cannot read Excel", "TSV"))
