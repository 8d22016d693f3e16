import numpy as np
import pytest

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.ratings.flickr8k import is_flickr8k, read_flickr8k
from tests.messages import faults_mention, raises

TOKENS = """a.jpg#0\ta dog runs .
a.jpg#1\tthe dog is running
b.jpg.1#0\ttwo men ride bicycles
b.jpg.1#1\tmen on bikes
c.jpg#0\ta girl
c.jpg#1\ta dog runs .
"""
EXPERT = """a.jpg\tb.jpg.1#0\t1\t1\t2
b.jpg\tb.jpg.1#1\t4\t4\t4
b.jpg\tc.jpg#0\t1\t2\t1
a.jpg\tc.jpg#1\t4\t4\t3
"""
CROWD = """a.jpg\tb.jpg.1#0\t0.0\t0\t3
b.jpg\tb.jpg.1#1\t1.0\t4\t0
b.jpg\tc.jpg#0\t0.33333333\t1\t2
"""


@pytest.fixture
def files(tmp_path):
    def written(ratings, tokens=TOKENS):
        paths = tmp_path / "ratings.txt", tmp_path / "tokens.txt"
        for path, text in zip(paths, (ratings, tokens), strict=True):
            path.write_text(text)
        return paths

    return written


def test_experts_are_three_observations_and_own_references_are_left_out(files):
    """The last caption has the words of a reference of its image, although it is another one's."""
    found = read_flickr8k(*files(EXPERT))
    (captions,) = found.systems.values()
    assert captions.ids == ["a.jpg b.jpg.1#0", "b.jpg c.jpg#0"]
    assert captions.predictions == ["two men ride bicycles", "a girl"]
    assert captions.references == [
        ["a dog runs .", "the dog is running"],
        ["two men ride bicycles", "men on bikes"],
    ]
    assert found.judgements.caption.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.judgements.rating.tolist() == [1, 1, 2, 1, 2, 1]
    assert "2 of 4" in found.notes[0]
    np.testing.assert_allclose(found.mean_ratings("captions"), [4 / 3, 4 / 3])


def test_the_crowd_gives_shares_and_rated_captions_are_no_references(files):
    found = read_flickr8k(*files(CROWD))
    (captions,) = found.systems.values()
    assert captions.references[1:] == [["two men ride bicycles"]] * 2
    assert found.judgements.rating.tolist() == pytest.approx([0, 1, 1 / 3])
    assert "1 of 3" in found.notes[0]


def test_the_form_is_recognized_by_the_first_line(files, tmp_path):
    assert is_flickr8k(files(EXPERT)[0])
    assert not is_flickr8k(files("id\trating\na\t3\n")[0])
    assert not is_flickr8k(tmp_path / "none.txt")


def test_every_fault_has_its_line(files):
    paths = files(EXPERT + "x.jpg\ty.jpg#0\t1\t2\t3\na.jpg\tb.jpg.1#9\t1\t2\t3\n")
    with pytest.raises(DataError) as caught:
        read_flickr8k(*paths)
    place = f"{paths[0]}:"
    faults_mention(
        caught.value.faults,
        (f"{place}5: ", "caption y.jpg#0", "image x.jpg", "not found"),
        (f"{place}6: ", "caption b.jpg.1#9"),
    )
    paths = files(EXPERT + "a.jpg\tb.jpg.1#0\t1\t2\na.jpg\tb.jpg.1#0\t1\tnan\t2\n")
    with pytest.raises(DataError) as caught:
        read_flickr8k(*paths)
    faults_mention(caught.value.faults, (f"{place}5: ", "three"), (f"{place}6: ", "three"))


def test_other_references_are_refused(files):
    with raises(DataError, "tokens.txt:1", "Flickr8k.token.txt"):
        read_flickr8k(*files(EXPERT, '{"id": 1, "captions": ["a dog"]}\n'))
