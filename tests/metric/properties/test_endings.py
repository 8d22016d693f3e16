import pytest

from mmtx_cli.metric.properties.endings import are_english, has_broken_end
from mmtx_cli.metric.ptb.tokenize import tokenize
from tests.metric.corpora import flickr_captions

GERMAN = ["ein Hund läuft in dem Gras", "zwei Männer fahren an der Küste", "ein Kind am Strand"]


@pytest.mark.parametrize(
    "text", ["", " . ", "a dog on the", "A Dog On The.", "a dog, ", "a dog and"]
)
def test_broken(text):
    assert has_broken_end(text)


@pytest.mark.parametrize("text", ["a dog", "a dog runs on the grass .", "the letter a!", "stand"])
def test_whole(text):
    assert not has_broken_end(text)


def test_people_hardly_ever_break_off():
    captions = flickr_captions()
    assert 0 < sum(map(has_broken_end, captions)) < 0.015 * len(captions)
    assert are_english(map(tokenize, captions[:20]))


def test_other_languages_are_not_english():
    assert not are_english(map(tokenize, GERMAN))
    assert not are_english([["一", "只", "狗"]])
    assert not are_english([[]])
