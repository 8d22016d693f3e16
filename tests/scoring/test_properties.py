import json
from pathlib import Path

import pytest

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.properties import measure
from mmtx_cli.scoring.settings import ScoreSettings
from tests.messages import raises

REFERENCES = [["The dog runs on the grass.", "a dog"], ["A man with a hat is in the street."]]


def captions(predictions=("a dog on the", "a man, a man, a man"), references=REFERENCES):
    ids = [str(i) for i in range(len(predictions))]
    return Captions(ids, list(predictions), references, [{} for _ in ids])


def settings(**more):
    return ScoreSettings((Path("refs"),), (Path("a"),), None, ("properties",), 10, 1, 1, 0, **more)


def test_captions_and_first_references():
    found = measure(captions(), settings())
    metrics = found.scores.metrics() | found.whole
    assert metrics["broken_end"] == 0.5
    assert metrics["length"] == (4 + 6) / 2, "punctuation does not count"
    assert metrics["repeating"] == 0.5
    assert metrics["vocabulary"] == 5
    assert found.people.keys() == metrics.keys()
    assert found.people["length"] == (6 + 9) / 2
    assert found.people["broken_end"] == 0
    assert found.parameters == {
        "tokenizer": "ptb",
        "language": "und",
        "language_of_endings": "en",
    }
    assert found.notes == ()


def test_endings_of_another_language_are_left_out_and_that_is_said():
    german = captions(references=[["ein Hund auf der Wiese"], ["ein Mann mit Hut"]])
    found = measure(german, settings())
    assert "broken_end" not in found.scores.metrics()
    assert "broken_end" in found.notes[0]
    assert "language_of_endings" not in found.parameters


def test_novelty_against_training_captions(tmp_path):
    path = tmp_path / "train.jsonl"
    rows = [
        {"id": "1", "split": "train", "captions": ["A dog  on the", "a cat"]},
        {"id": "2", "split": "test", "captions": ["a man, a man, a man"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = measure(captions(), settings(training=path, training_split="train"))
    assert found.scores.per_sample["novel"].tolist() == [0, 1]
    assert found.people["novel"] == 1
    assert found.parameters["training_captions"] == 2
    found = measure(captions(), settings(training=path))
    assert found.scores.metrics()["novel"] == 0


def test_faults_of_the_training_captions(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"id": 1}\n{"id": 2, "captions": "a"}\n')
    with raises(DataError, "train.jsonl:1", "train.jsonl:2"):
        measure(captions(), settings(training=path))


@pytest.mark.parametrize("empty", ["", " . "])
def test_empty_captions(empty):
    metrics = measure(captions((empty, "a dog")), settings()).scores.metrics()
    assert metrics["empty"] == (0.5 if not empty else 0)
    assert metrics["broken_end"] == 0.5
    assert metrics["length"] == 1


@pytest.mark.parametrize(
    ("training", "predictions", "repeating"),
    [
        ("一只 狗 在 草地 上 奔跑", ["一只狗在草地上奔跑", "红色的球和红色的盒子"], 0),
        ("犬 が 芝生 を 走る", ["犬が芝生を走る", "赤いボールと赤い箱があります"], 0),
        ("สุนัข\u200bกำลัง\u200bวิ่ง", ["สุนัขกำลังวิ่ง", "ผู้ชายคนหนึ่งกับผู้ชายอีกคน"], 0),
        ("一只 狗", ["一只狗", "一只狗在跑一只狗在跑"], 0.5),
        ("犬 が", ["犬が", "男の子が走って男の子が走って"], 0.5),
        ("สุนัข วิ่ง", ["สุนัขวิ่ง", "สุนัขกำลังวิ่งสุนัขกำลังวิ่ง"], 0.5),
    ],
)
def test_languages_that_do_not_separate_words(tmp_path, training, predictions, repeating):
    """White space is no difference, and a word that comes twice, in characters, no repetition."""
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"id": "1", "captions": [training]}))
    own = captions(predictions, [[predictions[0]], [predictions[0] + predictions[1]]])
    found = measure(own, settings(training=path))
    metrics = found.scores.metrics()
    assert found.scores.per_sample["novel"].tolist() == [0, 1]
    assert metrics["repeating"] == repeating
    assert "broken_end" not in metrics
    assert found.parameters["repeated_characters"] in (5, 6, 10)
    spaced = captions([predictions[0], training], own.references)
    assert measure(spaced, settings()).whole["identical"] == 1
