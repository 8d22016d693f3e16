"""Diversity of captions against naive counts, and when a degenerate captioner is reported."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.diversity import (
    caption_diversity,
    copies,
    diversity,
    input_diversity,
    normalized,
)
from tests.messages import mentions, raises

WORDS = st.text(alphabet="aAbBéÉ e\u0301 \t\u00a0ßẞ", max_size=5)
CAPTIONS = st.lists(WORDS, min_size=1, max_size=25)


@given(CAPTIONS)
def test_counts_are_those_of_comparing_every_pair(captions):
    same = [[normalized(a) == normalized(b) for b in captions] for a in captions]
    distinct = sum(not any(row[:i]) for i, row in enumerate(same))
    most = max(map(sum, same))
    found = diversity(captions)
    assert found == json.loads(json.dumps(found))
    assert (found["count"], found["distinct"]) == (len(captions), distinct)
    assert found["distinct_share"] == distinct / len(captions)
    assert found["most_frequent_count"] == most
    assert found["most_frequent_share"] == most / len(captions)
    assert found["most_frequent"] == captions[[sum(row) for row in same].index(most)]


@given(WORDS)
def test_normalization_is_idempotent_and_ignores_case_spaces_and_composition(text):
    once = normalized(text)
    assert normalized(once) == once
    for other in (
        text.upper(),
        f"  {text}\n",
        unicodedata.normalize("NFD", text),
        text.replace(" ", "\t "),
    ):
        assert normalized(other) == once


@given(CAPTIONS, st.lists(WORDS))
def test_copies_are_counted(captions, others):
    known = [normalized(other) for other in others]
    copied = [normalized(caption) for caption in captions if normalized(caption) in known]
    assert copies(captions, others) == {
        "in_training_count": len(copied),
        "in_training_share": len(copied) / len(captions),
        "distinct_in_training": len(set(copied)),
    }


def test_no_captions_are_refused():
    with raises(ValueError, "caption"):
        diversity([])


def test_a_captioner_that_ignores_its_input_is_reported():
    references = [f"thing {i}" for i in range(10)]
    found = caption_diversity(["A thing"] * 5 + ["a  THING", *"bcde"], references)
    mentions(found["warning"], "6 of 10 samples", "same caption “A thing”", " 10 %", "input")
    mentions(found["warning"], "modality_importance=true")


@pytest.mark.parametrize(
    ("captions", "references", "complete"),
    [
        (["a"] * 5 + list("bcdef"), list("abcdefghij"), True),  # exactly a half is not more
        (["a"] * 10, ["x"] * 6 + list("abcd"), True),  # the references repeat as well
        (["a"] * 10, list("abcdefghij"), False),  # a modality was removed
    ],
)
def test_what_is_not_reported(captions, references, complete):
    assert "warning" not in caption_diversity(captions, references, (), complete)


def test_copies_of_training_captions_are_counted_where_these_are_known():
    references = list("abcd")
    assert "in_training_share" not in caption_diversity(references, references)
    found = caption_diversity(references, references, ["A", "b ", "x"])
    assert found["in_training_share"] == 0.5


def test_without_references_eight_different_inputs_are_needed():
    captions = ["a b"] * 5 + ["c"] * 3
    mentions(input_diversity(captions, 8)["warning"], "5 of 8 inputs", "“a b”", "mmtx eval")
    assert "warning" not in input_diversity(captions, 7)
    assert "warning" not in input_diversity(["a"] * 4 + list("bcde"), 8)


def test_long_captions_are_cut_in_the_message_alone():
    found = input_diversity(["word " * 100] * 8, 8)
    assert len(found["warning"]) < 500
    assert len(found["most_frequent"]) == 500
