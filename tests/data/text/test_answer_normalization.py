import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.text.answer_normalization import (
    CONTRACTIONS,
    CORRECTED_CONTRACTIONS,
    normal_answer,
)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        # case and space
        ("Yes", "yes"),
        ("  New \t York\n", "new york"),
        # periods, but for decimal points
        ("U.S.A.", "usa"),
        ("yes.", "yes"),
        ("3.5", "3.5"),
        (".5 miles.", ".5 miles"),
        # digits that are separated
        ("1,000", "1000"),
        ("100,978 people", "100978 people"),
        ("1,000-2,000", "10002000"),
        # other punctuation is a space, or nothing beside one
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("red, white", "red white"),
        ("red,white", "red white"),
        ("t-shirt", "t shirt"),
        ("t-shirt - blue", "tshirt blue"),
        ("what?!", "what"),
        ('"stop"', "stop"),
        # apostrophes and colons stay
        ("girl's", "girl's"),
        ("girl\u2019s", "girl's"),
        ("2:50 pm", "2:50 pm"),
        # numbers
        ("Two", "2"),
        ("ten", "10"),
        ("none", "0"),
        ("zero", "0"),
        ("eleven", "eleven"),
        ("twofold", "twofold"),
        ("forty-two", "forty 2"),
        # articles
        ("The dog", "dog"),
        ("an apple on a table", "apple on table"),
        ("another", "another"),
        # contractions
        ("dont", "don't"),
        ("it isnt", "it isn't"),
        ("couldntve", "couldntve"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("oclock", "o'clock"),
        ("hell", "hell"),
        # of which nothing would be left
        ("A", "a"),
        ("the", "the"),
        ("?", "?"),
        ("", ""),
        # all together
        ("The Two dogs, and a cat.", "2 dogs and cat"),
    ],
)
def test_cases_by_hand(answer, normal):
    assert normal_answer(answer) == normal


def test_words_other_than_contractions_stay():
    assert not {"hell", "shell", "well", "wed", "shed", "ill", "id", "were", "its"} & {
        *CORRECTED_CONTRACTIONS
    }
    assert all(
        whole in CONTRACTIONS.split() and whole.count("'")
        for whole in CORRECTED_CONTRACTIONS.values()
    )


@given(st.text(alphabet="aAtThe ,.;'-?!1230notwd\n", max_size=24))
def test_space_around_and_case_never_matter(text):
    once = normal_answer(text)
    assert normal_answer(f"  {text.upper().lower()}\t") == once
    assert once == " ".join(once.split())
