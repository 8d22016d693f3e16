from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.errors import ConfigError
from mmtx_cli.scoring.neural.long_captions import pieces
from tests.messages import raises


def lengths(texts):
    """Two special tokens, one token for every two characters."""
    return [2 + (len(text) + 1) // 2 for text in texts]


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=30))
def test_pieces_are_short_even_and_complete(words):
    text = " ".join(words)
    found = pieces(text, 8, lengths)
    assert max(lengths(found)) <= 8
    assert " ".join(found) == text
    counts = [len(piece.split()) for piece in found]
    assert max(counts) - min(counts) <= 1
    if len(found) > 1:
        assert lengths([text])[0] > 8


def test_a_text_without_spaces_is_split_between_characters():
    found = pieces("狗在草地上奔跑追球", 4, lengths)
    assert "".join(found) == "狗在草地上奔跑追球"
    assert max(lengths(found)) <= 4


def test_a_limit_in_which_nothing_fits():
    with raises(ConfigError, "2 tokens", "clipscore.prefix"):
        pieces("a dog", 2, lengths)
