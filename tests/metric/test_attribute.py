"""Accuracy of attributes against counting by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.attribute import attribute_scores

VALUES = st.sampled_from([None, "x", "y"])
ROWS = st.lists(st.tuples(*[st.fixed_dictionaries({"a": VALUES, "b": VALUES})] * 2), min_size=1)


@given(ROWS)
def test_accuracy_is_counted_where_the_reference_has_the_attribute(rows):
    predicted, correct = zip(*rows, strict=True)
    figures = attribute_scores(predicted, correct, {"both": ["a", "b"]}).metrics()
    for name, parts in {"a": "a", "b": "b", "both": "ab"}.items():
        judged = [
            all(outputs[part] == row[part] for part in parts)
            for outputs, row in rows
            if all(row[part] is not None for part in parts)
        ]
        if judged:
            assert figures[name] == pytest.approx(sum(judged) / len(judged))
        else:
            assert math.isnan(figures[name])


def test_intervals_and_samples():
    predicted = [{"a": "x"}] * 30 + [{"a": None}] * 10 + [{}] * 5
    correct = [{"a": "x"}] * 40 + [{"a": None}] * 5
    scores = attribute_scores(predicted, correct)
    assert scores.metrics() == {"a": 0.75}
    low, high = scores.intervals(resamples=200)["a"]
    assert 0.55 < low < 0.75 < high < 0.95
    assert scores.per_sample["a"].tolist()[:40] == [1] * 30 + [0] * 10
    assert all(map(math.isnan, scores.per_sample["a"][40:]))
