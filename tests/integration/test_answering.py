"""Questions answered in words: trained, evaluated and asked as a user does it."""

import json

import pytest

from mmtx_cli.io.quoting import quoted
from tests.command_line import CAPTIONER, TINY, TINY_IMAGE, mmtx, refused, succeeded
from tests.messages import mentions

from .fixtures import AWKWARD_NAME

pytestmark = pytest.mark.xdist_group("answering")  # so that the model is trained once

TEXT = ("encoder/text=transformer", "encoder.text.width=16", "encoder.text.depth=1")
ANSWERS = "head.captioning.target=answers"
PICTURE = f"{AWKWARD_NAME}/scenes/images/00001.jpg"


@pytest.fixture(scope="module")
def answering(place, scenes):
    """A tiny model that has learned what answers look like."""
    args = [*CAPTIONER, *TEXT, ANSWERS, scenes, "trainer.max_steps=120", "optimizer.lr=0.01"]
    run = succeeded(mmtx("finetune", *args, "run_dir=answering", cwd=place))
    assert "val/captioning/loss" in (run / "metrics.csv").read_text()
    return f"ckpt={run.name}"


@pytest.mark.slow
def test_a_question_without_torch(place, scenes, answering):
    """The folder of ONNX graphs reads the question, too."""
    done = mmtx("export", answering, "out=answering_graphs", "format=onnx", cwd=place)
    assert succeeded(done).name == "answering_graphs"
    inputs = f"inputs={quoted(f'{AWKWARD_NAME}/scenes/images')}"
    answers = []
    for i, model in enumerate([answering, "ckpt=answering_graphs"]):
        args = [model, inputs, "text='what is red?'", f"run_dir=onnx_{i}"]
        run = succeeded(mmtx("caption", *args, cwd=place))
        rows = map(json.loads, (run / "captions.jsonl").read_text().splitlines())
        answers.append([(row["path"], row["text"], row["caption"]) for row in rows])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 60


def test_it_is_scored_as_vqa_counts(place, scenes, answering):
    run = succeeded(mmtx("eval", answering, "split=val", "run_dir=answered", cwd=place))
    result = json.loads((run / "result.json").read_text())
    assert set(result["metrics"]) == {"captioning/accuracy", "captioning/exact_match"}
    manifest = next(place.glob("*/scenes/scenes.jsonl")).read_text().splitlines()
    rows = {row["id"]: row for row in map(json.loads, manifest)}
    known = {answer for row in rows.values() for answer in row["answers"]}
    messages = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert len(messages) == result["count"] == 6
    for line in messages:
        found = line["captioning"]
        assert found["answers"] == rows[line["id"]]["answers"]
        assert line["inputs"]["text"] == rows[line["id"]]["text"]
        right = float(found["prediction"] in found["answers"])
        assert found["scores"] == {"accuracy": right, "exact_match": right}
    worth = [line["captioning"]["scores"]["accuracy"] for line in messages]
    assert result["metrics"]["captioning/accuracy"] == pytest.approx(sum(worth) / 6)
    assert known & {line["captioning"]["prediction"] for line in messages}  # it says answers
    assert "soft accuracy" in (run / "report.html").read_text()


def test_a_question_about_files(place, scenes, answering):
    question = "what color is the ball, and where?"
    inputs = f"inputs=[{quoted(PICTURE)},missing.png]"
    args = [answering, inputs, f"text={quoted(question)}", "run_dir=asked"]
    run = succeeded(mmtx("caption", *args, cwd=place))
    answered, missing = map(json.loads, (run / "captions.jsonl").read_text().splitlines())
    assert set(answered) == {"path", "text", "caption", "score"}
    assert answered["text"] == missing["text"] == question
    assert set(missing) == {"path", "text", "error"}
    fault = refused("caption", answering, inputs, cwd=place)
    mentions(fault, "text: ", "question", "text='what color is it?'")


@pytest.mark.slow
def test_the_question_reaches_the_model(place, scenes, answering):
    scores = []
    for number, question in enumerate(("what color is it?", "how many circles are there?")):
        args = [answering, f"inputs={quoted(PICTURE)}", f"text={quoted(question)}"]
        run = succeeded(mmtx("caption", *args, f"run_dir=heard{number}", cwd=place))
        scores.append(json.loads((run / "captions.jsonl").read_text())["score"])
    assert scores[0] != scores[1]


@pytest.mark.slow
def test_a_captioner_is_finetuned_to_answer(place, scenes, captioner):
    args = [captioner, *TEXT, ANSWERS, scenes, *TINY[3:], "data.text=text", "run_dir=converted"]
    run = succeeded(mmtx("finetune", *args, cwd=place))
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["model"]["head"]["captioning"]["target"] == "answers"
    run = succeeded(mmtx("eval", f"ckpt={run.name}", "run_dir=converted/eval", cwd=place))
    assert "captioning/exact_match" in json.loads((run / "result.json").read_text())["metrics"]


@pytest.mark.slow
def test_pretraining_on_answers_and_captions(place, scenes):
    args = [*TINY_IMAGE, *TINY, *TEXT, "head=[vqa,captioning]", ANSWERS, scenes, "fusion=concat"]
    run = succeeded(mmtx("pretrain", *args, "run_dir=answers-pretrained", cwd=place))
    header = (run / "metrics.csv").read_text().splitlines()[0]
    assert {"val/vqa/loss", "val/captioning/loss"} <= set(header.split(","))


def test_what_cannot_be(place, scenes, captioner):
    args = [*CAPTIONER, scenes]
    fault = refused("finetune", *args, "head.captioning.target=anwers", cwd=place)
    mentions(fault, "head.captioning.target: ", "'anwers'", "'answers'")
    inputs = f"inputs={quoted(PICTURE)}"
    fault = refused("caption", captioner, inputs, "text='what is it?'", cwd=place)
    mentions(fault, "text: ", "head")
    assert "text=" not in fault
