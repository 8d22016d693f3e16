import json

import pytest

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.ratings.table import read_table
from tests.messages import faults_mention, raises


@pytest.fixture
def table(tmp_path):
    def written(text, name="ratings.csv", **options):
        path = tmp_path / name
        path.write_text(text)
        return read_table(path, **options)

    return written


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.csv", "id,rating_1,rating_2,other\na,1,4,x\nb,2.5,,y\n"),
        ("r.tsv", "other\tid\trating_1\trating_2\nx\ta\t1\t4\ny\tb\t\t2.5\n"),
        ("r.jsonl", '{"id": "a", "ratings": [1, 4]}\n{"id": "b", "ratings": [2.5, null]}\n'),
        ("r.jsonl", '{"image_id": "a", "rating": [1, 4]}\n{"image_id": "b", "rating": 2.5}\n'),
    ],
)
def test_several_raters(table, name, text):
    found = table(text, name)
    assert [(row.id, row.ratings) for row in found.rows] == [("a", (1, 4)), ("b", (2.5,))]
    assert (found.has_id, found.has_caption, found.has_references) == (True, False, False)


def test_captions_and_references(table):
    rows = [
        {"caption": "a dog", "references": ["the dog", "dogs"], "rating": 3},
        {"caption": "a cat", "references": ["the cat"], "rating": "1"},
    ]
    found = table("".join(json.dumps(row) + "\n" for row in rows), "r.jsonl")
    assert [row.references for row in found.rows] == [("the dog", "dogs"), ("the cat",)]
    in_text = 'caption,references,rating\na dog,the dog | dogs,3\na cat,"[""the cat""]",1\n'
    same = table(in_text)
    assert [row.references for row in same.rows] == [row.references for row in found.rows]
    assert [row.ratings for row in same.rows] == [row.ratings for row in found.rows]


def test_columns_of_other_names(table):
    text = "id,expert,crowd\na,1,0.5\nb,2,0.25\n"
    with raises(DataError, "rating", "id, expert, crowd", "rating_columns=[human]"):
        table(text)
    found = table(text, rating_columns=("expert", "crowd"))
    assert [row.ratings for row in found.rows] == [(1, 0.5), (2, 0.25)]
    with raises(DataError, "expret", "id, expert, crowd"):
        table(text, rating_columns=("expret",))


def test_summaries_of_ratings_are_no_judgements(table):
    found = table("id,rating_1,rating_2,rating_mean\na,1,4,2.5\nb,2,2,2\n")
    assert [row.ratings for row in found.rows] == [(1, 4), (2, 2)]


def test_ids_and_references_are_those_of_other_files(table):
    deep = "[" * 100_000
    rows = [{"id": 7.0, "caption": "a dog", "references": deep, "rating": 1}]
    found = table("".join(json.dumps(row) + "\n" for row in rows), "r.jsonl")
    assert (found.rows[0].id, found.rows[0].references) == ("7", (deep,))


def test_every_fault_has_its_line(table):
    text = "id,caption,rating\na,a dog,good\nb,,3\n,a cat,3\nd,a cow,\ne,a cow,inf\nf,a,1,2\n"
    with pytest.raises(DataError) as caught:
        table(text)
    faults = [fault.rpartition("/")[2] for fault in caught.value.faults]
    faults_mention(
        faults,
        ("ratings.csv:2: ", "'good'", "not a number"),
        ("ratings.csv:3: ", "caption"),
        ("ratings.csv:4: ", "id"),
        ("ratings.csv:5: ", "no rating"),
        ("ratings.csv:6: ", "'inf'"),
        ("ratings.csv:7: ", "4 cells for 3 columns"),
    )


def test_nothing_that_says_what_is_rated(table):
    with raises(DataError, "id", "caption", "columns: name, rating"):
        table("name,rating\na,3\n")


def test_a_rating_beside_several_is_not_counted_with_them(table):
    """It may be their mean."""
    text = "id,rating_1,rating_2,rating\na,1,4,2.5\nb,2,2,2\n"
    with raises(DataError, "rating_1, rating_2, rating:", "rating_columns=[rating_1,rating_2]"):
        table(text)
    found = table(text, rating_columns=("rating_1", "rating_2"))
    assert [row.ratings for row in found.rows] == [(1, 4), (2, 2)]
    with raises(DataError, "rating_columns=[rating]"):
        table("id,rating,ratings\na,1,4\n")


def test_files_of_the_samples(table):
    found = table("id,image,video,start,end,rating\na,a.png,,,,1\nb,,b.mp4,1.5,3,2\nc,nan,,,,2\n")
    first, second, third = (row.media for row in found.rows)
    assert (first.paths, first.start) == ({"image": ("a.png",)}, None)
    assert (second.paths, second.start, second.end) == ({"video": ("b.mp4",)}, 1.5, 3)
    assert third is None
    with pytest.raises(DataError) as caught:
        table(
            '{"id": 1, "image": ["a", "b"], "rating": 1}\n'
            '{"id": 2, "video": "a", "start": 3, "rating": 1}\n'
            '{"id": 3, "video": "a", "start": 3, "end": 2, "rating": 1}\n',
            "r.jsonl",
        )
    faults_mention(
        [fault.rpartition("/")[2] for fault in caught.value.faults],
        ("r.jsonl:1: ", "image", "one file"),
        ("r.jsonl:2: ", "start is 3", "None"),
        ("r.jsonl:3: ", "start is 3", "end 2"),
    )
