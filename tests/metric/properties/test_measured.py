import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.direction import has_direction, lower_is_better, metric_of
from mmtx_cli.metric.properties.measured import properties
from mmtx_cli.metric.properties.vocabulary import distinct, vocabulary

CAPTIONS = ["A dog runs", "a  dog runs", "a dog and a", "", "no no no no"]
MEANS = ("length", "repetition", "repeating", "empty")
WHOLE = ("distinct_1", "distinct_2", "vocabulary", "identical")


def words(captions):
    return [text.lower().split() for text in captions]


def test_values_of_each_caption_and_their_means():
    found = properties(CAPTIONS, words(CAPTIONS), "en", frozenset({"a dog runs", "a cat"}))
    expected = {
        "length": [3, 3, 4, 0, 4],
        "repetition": [0, 0, 0, 0, 2 / 3],
        "repeating": [0, 0, 0, 0, 1],
        "empty": [0, 0, 0, 1, 0],
        "broken_end": [0, 0, 1, 1, 0],
        "novel": [0, 0, 1, 1, 1],
    }
    metrics = found.scores.metrics()
    assert list(metrics) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found.scores.per_sample[name], values)
        assert metrics[name] == pytest.approx(sum(values) / 5)
    np.testing.assert_array_equal(found.scores.per_sample["identical"], [1, 1, 0, 0, 0])
    assert found.whole == pytest.approx(
        {"distinct_1": 5 / 14, "distinct_2": 5 / 10, "vocabulary": 5, "identical": 2 / 5}
    )


def test_what_is_not_given_is_left_out():
    found = properties(CAPTIONS, words(CAPTIONS), None)
    assert tuple(found.scores.metrics()) == MEANS
    assert tuple(found.whole) == WHOLE
    assert found.scores.intervals(resamples=20).keys() == {*MEANS}


def test_no_words_at_all():
    found = properties(["", ""], [[], []], "en")
    assert math.isnan(found.whole["distinct_1"])
    assert found.scores.metrics()["broken_end"] == 1


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=8))
def test_distinct_counts_ngrams(captions):
    for order in (1, 2):
        grams = [tuple(own[i : i + order]) for own in captions for i in range(len(own) - order + 1)]
        if grams:
            assert distinct(captions, order) == len({*grams}) / len(grams)
    assert vocabulary(captions) == len({word for own in captions for word in own})


def test_only_what_is_better_in_a_direction_has_one():
    better = {"distinct_1": True, "distinct_2": True, "vocabulary": True}
    worse = ("identical", "repetition", "repeating", "broken_end", "empty")
    for name in (*better, *worse, "length", "novel"):
        assert metric_of(f"caption/{name}") is not None
        assert has_direction(f"caption/{name}") == (name not in ("length", "novel"))
        assert lower_is_better(name) == (name in worse)
