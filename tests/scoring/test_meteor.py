"""METEOR in ``mmtx score``: its parameters, and what is said of stages that did not run."""

import json
from dataclasses import replace

import pytest

from mmtx_cli.metric.meteor.load import load_meteor
from mmtx_cli.metric.meteor.score import meteor_scores
from mmtx_cli.metric.ptb.tokenize import tokenize
from mmtx_cli.scoring import meteor
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.settings import ScoreSettings
from tests.command_line import mmtx
from tests.messages import mentions
from tests.metric.meteor.java import small_folder

REFERENCES = {"1": ["A dog runs on the grass.", "The dog is running."], "2": ["Two women sit."]}
PREDICTIONS = {"1": "a dog runs in a field", "2": "two ladies are sitting"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_folder(tmp_path_factory.mktemp("meteor"))


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_from_the_command_line(tmp_path, folder):
    rows = [{"id": name, "captions": own} for name, own in REFERENCES.items()]
    (tmp_path / "refs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"id": name, "caption": caption} for name, caption in PREDICTIONS.items()]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = mmtx(
        *("score", "references=refs.jsonl", "predictions=own.jsonl", "run_dir=out"),
        *("metrics=[overlap,meteor]", f"meteor_data={folder}", "bootstrap=20"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    expected = meteor_scores(
        [tokenize(caption) for caption in PREDICTIONS.values()],
        [[tokenize(caption) for caption in own] for own in REFERENCES.values()],
        load_meteor("en", folder),
    )
    assert result["metrics"]["caption/meteor"] == expected.metrics()["meteor"]
    low, high = result["intervals"]["caption/meteor"]
    assert low <= result["metrics"]["caption/meteor"] <= high
    found = result["parameters"]["meteor"]
    assert found["stages"] == ["exact", "stem", "synonym", "paraphrase"]
    assert (found["tokenizer"], found["language"]) == ("ptb", "en")
    lines = (tmp_path / "out" / "scores.jsonl").read_text().splitlines()
    per_sample = [json.loads(line)["meteor"] for line in lines]
    assert per_sample == pytest.approx(list(expected.per_sample["meteor"]))


def test_data_that_are_not_there_are_a_users_error(tmp_path):
    (tmp_path / "refs.jsonl").write_text('{"id": 1, "captions": ["a dog"]}\n')
    (tmp_path / "own.jsonl").write_text('{"id": 1, "caption": "a dog"}\n')
    done = mmtx(
        *("score", "references=refs.jsonl", "predictions=own.jsonl", "run_dir=out"),
        *("metrics=[meteor]", "meteor_data=nowhere"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    mentions(done.stderr, "meteor_data=nowhere: ", "meteor-1.5.jar")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("missing", "parts"),
    [
        (("paraphrase",), ("0.2480 instead of 0.2589", "data/paraphrase-en.gz")),
        (("stem",), ("0.2632 instead of 0.2589", "snowballstemmer")),
        (("stem", "paraphrase"), ("0.2552 instead of 0.2589", "snowballstemmer", "en.gz")),
        (("synonym",), ("synonyms",)),
    ],
)
def test_missing_stages_are_named_with_what_they_change(folder, missing, parts):
    names = {"stem": "stem", "synonym": "synonyms", "paraphrase": "paraphrases"}
    data = replace(load_meteor("en", folder), **{names[stage]: None for stage in missing})
    (note,) = meteor.notes(data)
    mentions(note, "meteor: ", *missing, *parts)
    assert meteor.parameters(data)["missing_stages"] == list(missing)


def test_nothing_is_said_where_all_is_as_in_the_paper(folder):
    assert meteor.notes(load_meteor("en", folder)) == ()


def test_other_stems_and_unknown_languages_are_named(folder, monkeypatch):
    (note,) = meteor.notes(load_meteor("zh", folder))
    mentions(note, " zh", "equal words")
    monkeypatch.setattr(meteor, "_snowball", lambda: "3.1.1")
    (note,) = meteor.notes(load_meteor("en", folder))
    mentions(note, "3.1.1", "205")


def test_the_language_decides_or_is_said_to_be_english(folder):
    def measured(language, references=("ein Hund läuft",)):
        captions = Captions(["1"], ["ein Hund"], [list(references)], [{}])
        settings = ScoreSettings((), (), None, ("meteor",), 1, 1, 1, 0)
        return meteor.measure(captions, replace(settings, language=language, meteor_data=folder))

    taken = measured(None)
    mentions(taken.notes[0], "English", "language=")
    assert taken.parameters["language"] == "en"
    assert measured("en").notes == ()
    german = measured("de-AT")
    assert german.parameters["language"] == "de"
    assert german.parameters["stages"] == ["exact", "stem"]
    assert german.parameters["weights"] == {"exact": 1.0, "stem": 0.8}
    mentions(german.notes[0], "paraphrase", "data/paraphrase-de.gz")
    chinese = measured(None, ["一只狗在跑"])
    assert chinese.parameters["tokenizer"] == "char"
    mentions(chinese.notes[0], "language zh")
