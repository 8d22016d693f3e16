"""The files of rated captions, and their languages, in every form of ratings."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.ratings.read import read_rated
from tests.messages import raises
from tests.scoring.neural.models import settings

TOKENS = "a.jpg#0\ta dog\na.jpg#1\tthe dog\nb.jpg#0\ttwo men\nb.jpg#1\tmen\n"
EXPERT = "a.jpg\tb.jpg#0\t1\t1\t2\nb.jpg\ta.jpg#0\t4\t3\t4\n"


@pytest.fixture
def read(tmp_path):
    """Write ratings and references, and return the rated captions and the notes."""

    def done(ratings, references=None, name="ratings.jsonl", **keys):
        (tmp_path / name).write_text(ratings)
        if references is not None:
            (tmp_path / "refs.jsonl").write_text(references)
            keys["references"] = (tmp_path / "refs.jsonl",)
        found = read_rated(replace(settings(), ratings=tmp_path / name, **keys))
        (captions,) = found.systems.values()
        return captions, found.notes

    return done


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_of_a_table_with_everything(read, tmp_path):
    row = {"caption": "a dog", "references": ["dogs"], "rating": 1}
    rows = lines(
        row | {"image": "x/a.png"},
        row | {"image": "b.png", "rating": 2},
        row | {"video": "c.mp4", "start": 1, "end": 2.5},
        row | {"image": "../../out.png", "rating": 3},
        row | {"rating": 4},
    )
    captions, notes = read(rows)
    assert captions.media == [
        {"image": tmp_path / "x/a.png"},
        {"image": tmp_path / "b.png"},
        {"video": tmp_path / "c.mp4"},
        {},
        {},
    ], "captions of several pictures are several captions, also if their words are the same"
    assert captions.segments == [None, None, (1, 2.5), None, None]
    assert "1 samples are not used" in notes[0]
    (tmp_path / "own").mkdir()
    captions, _ = read(rows, images=tmp_path / "own")
    assert captions.media[0] == {"image": tmp_path / "own/x/a.png"}
    with raises(DataError, "images=none: no such folder"):
        read(rows, images=Path("none"))


def test_of_the_references_unless_the_table_names_them(read, tmp_path):
    rows = [
        {"id": name, "image": f"{name}.png", "captions": [f"the {name}"]} for name in ("a", "b")
    ]
    ratings = [{"id": name, "caption": "dogs", "rating": at} for at, name in enumerate("ab")]
    captions, _ = read(lines(ratings[0], ratings[1] | {"image": "other.png"}), lines(*rows))
    assert captions.media == [{"image": tmp_path / "a.png"}, {"image": tmp_path / "other.png"}]


def test_of_flickr8k_with_its_folder(read, tmp_path):
    (tmp_path / "own").mkdir()
    captions, _ = read(EXPERT, TOKENS, "experts.txt", images=tmp_path / "own")
    assert captions.media == [{"image": tmp_path / f"own/{name}.jpg"} for name in "ab"]
    assert read(EXPERT, TOKENS, "experts.txt")[0].media == [{}, {}]


def test_languages_of_flickr8k(read):
    half = TOKENS.replace("a dog", "一只狗").replace("the dog", "狗在跑")
    with raises(DataError, "refs.jsonl", "several scripts", "language="):
        read(EXPERT, half, "experts.txt")
    _, notes = read(EXPERT, half, "experts.txt", language="zh")
    assert any("language zh" in note for note in notes)
