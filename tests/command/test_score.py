import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmtx_cli.command.score import run
from mmtx_cli.errors import ConfigError, DataError
from tests.messages import faults_mention, mentions, raises

CAPTIONS = {
    "1": ["a dog runs in the grass", "the dog is running"],
    "2": ["two men ride red bicycles", "men on bikes"],
    "3": ["a girl holds a balloon", "a child with a balloon"],
}
PREDICTIONS = {
    "1": "a dog runs on grass",
    "2": "a man rides a bicycle",
    "3": "a girl with a balloon",
}
METRICS = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]


@pytest.fixture
def score(tmp_path, monkeypatch, capsys):
    """Write the two files, run the command, and give its folder."""
    monkeypatch.chdir(tmp_path)

    def scored(references, predictions, **settings):
        Path("refs.json").write_text(references, encoding="utf-8")
        Path("predictions.json").write_text(predictions, encoding="utf-8")
        run(config(**settings))
        return Path(capsys.readouterr().out.splitlines()[-1])

    return scored


def config(**settings):
    keys = {
        "references": "refs.json",
        "predictions": "predictions.json",
        "run_dir": "runs/score/one",
    }
    keys |= {"bootstrap": 50, "seed": 1, "split": None, "metrics": ["overlap"]}
    keys |= {"permutations": 100, "gallery": 12}
    return OmegaConf.create(keys | settings)


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def reference_lines(**more):
    return lines({"id": name, "captions": own} | more for name, own in CAPTIONS.items())


def prediction_lines():
    return lines({"id": name, "caption": predicted} for name, predicted in PREDICTIONS.items())


def coco_references(indent=None):
    images = [{"id": int(name), "file_name": f"{name}.jpg"} for name in CAPTIONS]
    annotations = [
        {"id": 10 * int(name) + at, "image_id": int(name), "caption": caption}
        for at in range(2)
        for name, own in CAPTIONS.items()
        for caption in own[at : at + 1]
    ]
    return json.dumps({"info": {}, "images": images, "annotations": annotations}, indent=indent)


def coco_results(indent=None):
    return json.dumps(
        [{"image_id": int(i), "caption": c} for i, c in PREDICTIONS.items()], indent=indent
    )


def faults(score, references, predictions, **settings):
    with pytest.raises(DataError) as caught:
        score(references, predictions, **settings)
    assert not Path("runs").exists()
    return caught.value.faults


def test_writes_the_result_and_a_row_an_id(score):
    run_dir = score(reference_lines(), prediction_lines())
    assert run_dir == Path("runs/score/one")
    result = json.loads((run_dir / "result.json").read_text())
    assert list(result["metrics"]) == [f"caption/{name}" for name in METRICS]
    assert result["count"] == 3
    assert result["seconds"] > 0
    for name, (low, high) in result["intervals"].items():
        assert low <= result["metrics"][name] <= high
    rows = [json.loads(line) for line in (run_dir / "scores.jsonl").read_text().splitlines()]
    assert [list(row) for row in rows] == [["id", *METRICS]] * 3
    assert [row["id"] for row in rows] == list(CAPTIONS)
    mean = math.fsum(row["cider"] for row in rows) / 3
    assert result["metrics"]["caption/cider"] == pytest.approx(mean)


@pytest.mark.parametrize("references", [reference_lines(), coco_references(), coco_references(2)])
@pytest.mark.parametrize("predictions", [prediction_lines(), coco_results(), coco_results(2)])
def test_every_form_gives_the_same_scores(score, references, predictions):
    expected = score(reference_lines(), prediction_lines(), run_dir="runs/lines")
    run_dir = score(references, predictions)
    assert (run_dir / "scores.jsonl").read_text() == (expected / "scores.jsonl").read_text()


def test_the_order_of_predictions_does_not_matter(score):
    expected = score(reference_lines(), prediction_lines(), run_dir="runs/lines")
    turned = "".join(reversed(prediction_lines().splitlines(keepends=True)))
    run_dir = score("\ufeff" + reference_lines(), "\n" + turned.rstrip() + "\r\n")
    assert (run_dir / "scores.jsonl").read_text() == (expected / "scores.jsonl").read_text()


def test_takes_a_manifest_and_a_split_of_it(score):
    other = {"id": "x", "split": "train", "image": "x.jpg", "captions": ["a cat"], "label": "cat"}
    manifest = lines([other]) + reference_lines(split="test", image="a.jpg", video=None)
    run_dir = score(manifest, prediction_lines(), split="test")
    assert json.loads((run_dir / "result.json").read_text())["count"] == 3
    with raises(DataError, "refs.json: ", "split=tset", ": test, train"):
        score(manifest, prediction_lines(), split="tset")


def test_takes_the_predictions_of_eval(score):
    expected = score(reference_lines(), prediction_lines(), run_dir="runs/lines")
    for head in ("caption", "captioning"):
        rows = (
            {"id": i, "inputs": {}, head: {"caption": c, "score": -1}}
            for i, c in PREDICTIONS.items()
        )
        run_dir = score(reference_lines(), lines(rows), run_dir=f"runs/{head}")
        assert (run_dir / "scores.jsonl").read_text() == (expected / "scores.jsonl").read_text()


def test_an_empty_prediction_scores_zero(score):
    rows = [{"id": i, "caption": "" if i == "2" else c} for i, c in PREDICTIONS.items()]
    run_dir = score(reference_lines(), lines(rows))
    row = json.loads((run_dir / "scores.jsonl").read_text().splitlines()[1])
    assert [row[name] for name in METRICS] == [0] * 6


def test_reports_every_fault_at_once(score):
    references = [
        '{"id": "1", "captions": ["a dog"]}',
        '{"id": "2", "captions": []}',
        '{"id": "3", "captions": "a girl"}',
        '{"id": "4", "captions": ["a cat", " "]}',
        '{"captions": ["a cat"]}',
        '{"id": "1", "captions": ["a cow"]}',
    ]
    predictions = [
        '{"id": "1", "caption": "a dog"}',
        '{"id": "1", "caption": "a cow"}',
        '{"id": "2", "text": "a dog"}',
        '{"id": "3", "caption": "a dog"',
        "[]",
        '{"id": "9", "caption": "a dog"}',
    ]
    message = faults(score, "\n".join(references), "\n".join(predictions))
    begin = [fault.split(" ", 1)[0] for fault in message]
    assert sorted(begin) == sorted(
        [f"refs.json:{n}:" for n in (2, 3, 4, 5, 6)]
        + [f"predictions.json:{n}:" for n in (2, 3, 4, 5)]
    )
    assert "refs.json:1" in next(fault for fault in message if fault.startswith("refs.json:6:"))


def test_names_ids_that_only_one_file_has(score):
    references = lines({"id": i, "captions": ["a dog"]} for i in range(30))
    predictions = lines({"id": i, "caption": "a dog"} for i in range(29, 31))
    faults_mention(
        faults(score, references, predictions),
        ("predictions.json:2: ", "1 of 2 predictions", "refs.json: 30;"),
        ("refs.json:1: ", "29 of 30 ids", "predictions.json: 0, 1,", ", 19 …; ", "split="),
    )


def test_names_coco_images_without_captions(score):
    references = json.dumps({"images": [{"id": 7}], "annotations": []})
    found = faults(score, references, lines([{"id": 7, "caption": "a dog"}]))
    faults_mention(found, ("refs.json: image 7: ", "id 7 ", "reference caption"))


@pytest.mark.parametrize(
    ("references", "place", "parts"),
    [
        ("", "refs.json: ", ["empty"]),
        ('{"images": [],\n"annotations": [}', "refs.json:2: ", ["JSON"]),
        ('[{"image_id": 1,\n\n"caption": }]', "refs.json:3: ", ["JSON"]),
        ('{"annotations": {"a": 1}}', "refs.json: ", ["annotations", "list"]),
        ("[" * 100_000, "refs.json", ["nested"]),
        ('{"id": ' + "9" * 5000 + "}", "refs.json:1: ", ["JSON", "digits"]),
        ('{"id": true, "captions": ["a"]}', "refs.json:1: ", [" id"]),
        ("a dog", "refs.json: ", ["plain text has no ids"]),
        ('{"id": 1, "captions": ["a"], "id": 2}', "refs.json:1: ", ["key 'id'"]),
        ('{"annotations": [{"id": 1, "id": 2}]}', "refs.json: ", ["key 'id'"]),
    ],
)
def test_reports_what_is_wrong_with_a_file(score, references, place, parts):
    first = faults(score, references, prediction_lines())[0]
    faults_mention([first], (place, *parts))


def test_does_not_repeat_a_fault_a_hundred_thousand_times(score):
    messages = faults(score, "{a dog\n" * 1000, prediction_lines())
    assert len(messages) == 21
    faults_mention(messages[-1:], ("… ", " 980 ", " refs.json"))


def test_captions_of_the_caption_command_are_joined_by_path(score):
    rows = [{"path": f"photos/{i}.jpg", "caption": c, "score": -1} for i, c in PREDICTIONS.items()]
    messages = faults(score, reference_lines(), lines(rows))
    faults_mention(messages, ("predictions.json: ", "path", "refs.json names no files", "manifest"))
    expected = score(reference_lines(), prediction_lines(), run_dir="runs/lines")
    manifest = lines(
        {"id": name, "image": f"photos/{name}.jpg", "captions": own}
        for name, own in CAPTIONS.items()
    )
    run_dir = score(manifest, lines(rows))
    assert (run_dir / "scores.jsonl").read_text() == (expected / "scores.jsonl").read_text()
    result = json.loads((run_dir / "result.json").read_text())
    assert [file["joined_by"] for file in result["files"]] == ["id", "path"]


def test_keys_of_other_commands_are_refused():
    with raises(ConfigError, "data.split: ", "mmtx score", "'split'"):
        run(config(data={"split": "test"}))


@pytest.mark.parametrize(
    ("path", "place", "reason"),
    [
        ("no.json", "no.json: ", "file or directory"),
        (".", ".: ", "folder"),
        ("latin.jsonl", "latin.jsonl:2: ", "UTF-8"),
    ],
)
def test_reports_what_is_wrong_with_a_path(tmp_path, monkeypatch, path, place, reason):
    monkeypatch.chdir(tmp_path)
    Path("refs.json").write_text(reference_lines())
    Path("latin.jsonl").write_bytes(b'{"id": 1}\n{"id": 2, "caption": "caf\xe9"}\n')
    with pytest.raises(DataError) as caught:
        run(config(predictions=path))
    faults_mention(caught.value.faults, (place, reason))


def test_names_the_required_keys():
    with pytest.raises(ConfigError) as caught:
        run(config(references=None, predictions=None, bootstrap=0, seed="x"))
    assert [fault.split(":")[0].split("=")[0] for fault in caught.value.faults] == [
        "predictions",
        "bootstrap",
        "seed",
    ]
    mentions(caught.value.faults[0], " predictions=FILE")


def test_names_every_wrong_key_of_columns_language_and_tokenizer():
    wrong = {
        "language": "Klingon",
        "tokenizer": "jeiba",
        "prediction_columns": {"name": 1, "id": 0},
        "reference_columns": "caption",
    }
    with pytest.raises(ConfigError) as caught:
        run(config(**wrong))
    faults_mention(
        caught.value.faults,
        ("prediction_columns.name: ", "id, caption"),
        ("prediction_columns.id=0: ", "number from 1"),
        ("reference_columns=caption: ", "map fields to columns"),
        ("language=Klingon: ", "zh"),
        ("tokenizer=jeiba: ", "jieba"),
    )


def test_keys_without_effect_are_errors():
    keys = {"training": "t", "training_split": "x", "rating_columns": ["a"], "meteor_data": "m"}
    with pytest.raises(ConfigError) as caught:
        run(config(metrics=["overlap"], **keys))
    found = [fault for fault in caught.value.faults if "changes nothing" in fault]
    faults_mention(
        found,
        ("training=t: ", "properties"),
        ("rating_columns=['a']: ", "ratings=FILE"),
        ("meteor_data=m: ", "meteor"),
    )
    with raises(ConfigError, "training_split=x: ", "training=FILE"):
        run(config(training_split="x"))


def test_a_split_that_looks_like_a_number(score, capsys):
    rows = [{"id": i, "captions": own, "split": "2017"} for i, own in CAPTIONS.items()]
    Path("r.jsonl").write_text(lines([*rows, {"id": "x", "captions": ["a"], "split": "2018"}]))
    Path("p.jsonl").write_text(lines({"id": i, "caption": c} for i, c in PREDICTIONS.items()))
    run(config(references="r.jsonl", predictions="p.jsonl", split=2017))
    mentions(capsys.readouterr().out, "references: r.jsonl", f"{len(CAPTIONS)} samples")


def test_names_the_formats_that_it_recognized(score, capsys):
    rows = [{"prompt": "?", "predict": c, "label": "a dog"} for c in PREDICTIONS.values()]
    Path("p.jsonl").write_text(lines(rows))
    run(config(references=None, predictions="p.jsonl"))
    printed = capsys.readouterr().out
    mentions(printed, "references: p.jsonl: references in LLaMA-Factory", "3 samples")
    result = json.loads((Path(printed.splitlines()[-1]) / "result.json").read_text())
    assert [file["role"] for file in result["files"]] == ["references", "predictions"]
    assert result["parameters"]["overlap"] == {"tokenizer": "ptb", "language": "und"}


def test_from_the_command_line(tmp_path):
    (tmp_path / "refs.jsonl").write_text(reference_lines())
    (tmp_path / "predictions.json").write_text(coco_results())
    command = [sys.executable, "-m", "mmtx_cli", "score", "run_dir=out"]
    files = ["references=refs.jsonl", "predictions=predictions.json"]
    done = subprocess.run([*command, *files], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]) == tmp_path / "out"
    assert "caption/cider" in done.stdout
    assert (tmp_path / "out" / "result.json").exists()
    done = subprocess.run([*command, files[0]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    mentions(done.stderr, "predictions: ", " predictions=FILE")


def test_imports_no_torch():
    code = "import sys, mmtx_cli.command.score; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["scores.jsonl", "differences.jsonl", "report.html"])
def test_a_file_of_the_user_is_not_replaced(score, name):
    own = Path("runs/score/one", name)
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("mine")
    with raises(ConfigError, "run_dir=runs/score/one: ", name, "use another folder"):
        score(reference_lines(), prediction_lines())
    assert own.read_text() == "mine"
    assert list(own.parent.iterdir()) == [own]
