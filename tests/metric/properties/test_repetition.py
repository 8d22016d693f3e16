import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.properties.repetition import repeats, repetition


@pytest.mark.parametrize(
    ("text", "share", "again"),
    [
        ("", 0, False),
        ("dog", 0, False),
        ("a man in a blue shirt", 0, False),
        ("a dog and a dog", 1 / 4, False),
        ("a blue shirt and a blue shirt", 2 / 6, True),
        ("no no no no", 2 / 3, True),
        ("no no no", 1 / 2, False),
    ],
)
def test_of_a_caption(text, share, again):
    assert repetition(text.split()) == pytest.approx(share)
    assert repeats(text.split()) is again


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_three_words_occur_twice(words):
    text = "".join(words)
    pairs = [text[i : i + 2] for i in range(len(text) - 1)]
    assert repetition(words) * max(1, len(pairs)) == pytest.approx(len(pairs) - len({*pairs}))
    assert repeats(words) == any(
        text.startswith(text[i : i + 3], j)
        for i in range(len(text) - 2)
        for j in range(i + 1, len(text) - 2)
    )
