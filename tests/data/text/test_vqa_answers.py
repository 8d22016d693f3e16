from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.text.vqa_answers import (
    answer_metrics,
    answer_names,
    answer_scores,
    answer_weights,
)


def by_leaving_out(answers, name, enough=3):
    """The definition, word for word: the mean over all ways to leave one person out."""
    people = [predicted for predicted, n in answers.items() for _ in range(n)]
    left = list(combinations(people, len(people) - 1))
    return sum(
        min(sum(predicted == name for predicted in some) / enough, 1) for some in left
    ) / len(left)


@given(st.lists(st.sampled_from("bcde"), min_size=10, max_size=10))
def test_ten_people_count_as_in_vqa(people):
    answers = {name: people.count(name) for name in people}
    for name, score in answer_scores(answers).items():
        assert score == pytest.approx(by_leaving_out(answers, name))


@pytest.mark.parametrize(
    ("answers", "scores"),
    [
        ({"red": 10}, {"red": 1.0}),
        ({"red": 9, "blue": 1}, {"red": 1.0, "blue": 0.3}),
        ({"yes": 1}, {"yes": 1.0}),
        ({"yes": 1, "no": 1}, {"yes": 0.5, "no": 0.5}),
        ({"yes": 2, "no": 1}, {"yes": 2 / 3, "no": 1 / 3}),
        ({"red": 0.3, "blue": 1.0, "green": 2.5}, {"red": 0.3, "blue": 1.0, "green": 1.0}),
        ({}, {}),
    ],
)
def test_other_numbers_of_people(answers, scores):
    assert answer_scores(answers) == pytest.approx(scores)


def test_the_most_frequent_answers():
    rows = [{"red": 8, "blue": 2}, {"blue": 7, "green": 3}, {"ant": 3}, {}]
    assert answer_names(rows, 10) == ["blue", "red", "ant", "green"]
    assert answer_names(rows, 2) == ["blue", "red"]


def test_spellings_of_one_answer_are_one():
    answers = {"2": 4.0, "two": 3.0, "Two.": 2.0, "three": 1.0}
    assert answer_weights(answers) == {"2": 9.0, "3": 1.0}
    assert answer_scores(answers) == pytest.approx({"2": 1.0, "3": 0.3})
    assert answer_names([answers, {"the three": 9.0}], 1) == ["3"]


def test_predictions_are_scored_in_normal_form():
    number = {"2": 4.0, "two": 3.0, "Two.": 2.0, "three": 1.0}
    colour = {"Red": 3.0, "red.": 2.0, "blue": 4.0, "pink": 1.0}
    both = {"yes": 5.0, "no": 5.0}
    predicted = [("the Two", number), ("3", number), ("four", number), ("a red", colour)]
    predicted += [("blue", colour), ("Pink!", colour), ("yes", both), ("No", both), ("", both)]
    found = answer_metrics(*zip(*predicted, strict=True))
    wanted = [1, 0.3, 0, 1, 1, 0.3, 1, 1, 0]
    assert found["accuracy"].tolist() == pytest.approx(wanted)
    assert found["exact_match"].tolist() == [1, 0, 0, 1, 0, 0, 1, 1, 0]


def test_scores_of_one_answer_add_up():
    assert answer_scores({"Red": 0.3, "red": 0.5}) == pytest.approx({"red": 0.8})
    assert answer_scores({"Red": 0.6, "red": 0.6, "blue": 0.1}) == {"red": 1.0, "blue": 0.1}
