"""Baselines where it is known by hand what they predict."""

import numpy as np
import pytest
import torch

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.targets import Targets
from mmtx_cli.evaluation.baseline_features import Features, features_of
from mmtx_cli.evaluation.baseline_result import baseline_parts, unbeaten
from mmtx_cli.evaluation.baseline_tasks import (
    NEIGHBORS,
    Answers,
    Classes,
    LabelSets,
    Numbers,
    best_label_set,
)
from mmtx_cli.metric.classification import classification_scores, multilabel_scores
from mmtx_cli.metric.regression import regression_scores
from tests.messages import mentions


def rows(values, key="label", **more):
    return [Sample(str(i), "train", **{key: value}, **more) for i, value in enumerate(values)]


def figures(task, predicted, test):
    return {name: task.score(each, test).metrics() for name, each in predicted.items()}


def apart(values):
    """Features that tell the values apart: one direction each, with a little noise."""
    names = sorted(set(map(str, values)))
    x = torch.eye(len(names))[[names.index(str(value)) for value in values]]
    return x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(len(values)))


def test_the_most_frequent_class_is_right_as_often_as_it_occurs():
    task = Classes(Targets(["a", "b", "c"]), ordered=False)
    test = rows("aabbbccc")
    found = figures(task, task.constant(rows("bbba"), test), test)
    assert found["most frequent class"]["accuracy"] == pytest.approx(3 / 8)


def test_the_median_class_is_nearest_to_ordered_ones():
    task = Classes(Targets(["1", "2", "3"]), ordered=True)
    train, test = rows(["1"] * 4 + ["2"] * 2 + ["3"] * 3), rows(["1", "2", "3"])
    found = figures(task, task.constant(train, test), test)
    assert found["most frequent class"]["mae"] == 1
    assert found["median class"]["mae"] == pytest.approx(2 / 3)


def test_class_separating_features_are_used():
    labels = list("abc") * 30
    task = Classes(Targets(["a", "b", "c"]), ordered=False)
    train, test = rows(labels), rows("cab")
    features = Features(train, [apart(labels)], [apart("cab")])
    for scores in figures(task, task.learned(features), test).values():
        assert scores["accuracy"] == 1


def test_constant_labels_have_the_best_micro_f1_of_all_sets():
    random = np.random.default_rng(0)
    y = random.random((40, 5)) < np.array([0.6, 0.5, 0.3, 0.2, 0.05])
    chosen = best_label_set(torch.from_numpy(y.sum(axis=0)), 40)

    def f1(labels):
        return multilabel_scores(np.tile(labels, (40, 1)), y).metrics()["f1_micro"]

    every = [f1(np.array([i >> k & 1 for k in range(5)], dtype=float)) for i in range(1, 32)]
    assert f1(chosen.numpy()) == pytest.approx(max(every))


def test_several_labels_are_read_off_features():
    labels = [("a", "b"), ("a",), (), ("c",)] * 20
    task = LabelSets(Targets(["a", "b", "c"], multi_label=True))
    train, test = rows(labels), rows(labels[:4])
    features = Features(train, [apart(labels)], [apart(labels[:4])])
    for scores in figures(task, task.learned(features), test).values():
        assert scores["exact_match"] == 1


def test_mean_and_median_have_the_least_errors():
    task, train = Numbers(), rows([0.0, 0.0, 0.0, 8.0])
    found = figures(task, task.constant(train, train), train)
    assert found["mean"]["rmse"] == pytest.approx(np.std([0, 0, 0, 8]))
    assert found["median"]["mae"] == 2
    values = [0.0, 5.0] * 20
    features = Features(rows(values), [apart(values)], [apart([5.0, 0.0])])
    found = figures(task, task.learned(features), rows([5.0, 0.0]))
    assert found[NEIGHBORS]["mae"] < 0.01
    assert found["ridge regression"]["mae"] < 0.2


def test_answers_to_the_same_question():
    def asked(*pairs):
        return [
            Sample(str(i), "train", text=text, answers={answer: 1})
            for i, (text, answer) in enumerate(pairs)
        ]

    red, two = ("What color is it?", "red"), ("how many?", "two")
    train = asked(red, red, red, two, two)
    test = asked(("what  color is it?", "red"), ("How many?", "2"), ("where?", "red"))
    task = Answers()
    found = figures(task, task.constant(train, test), test)
    assert found["most frequent answer"]["accuracy"] == pytest.approx(2 / 3)
    assert found["most frequent answer to the question"]["accuracy"] == 1
    features = Features(train, [apart([row.text for row in train])], [apart(["a", "z"])])
    assert task.learned(features)[NEIGHBORS] == ["red", "2"]


def test_rows_without_modalities_are_skipped_and_means_replace_missing_ones():
    train, test = rows("abc"), rows("d")
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    known = {"image": {"0": one, "1": other}, "text": {"0": one}}
    found = features_of(known, {"image": {"0": one}, "text": {}}, ["image", "text"], train, test)
    assert [row.id for row in found.train] == ["0", "1"]
    assert found.plain()[0].tolist() == [[1, 0, 1, 0], [0, 1, 1, 0]]
    assert found.plain()[1].tolist() == [[1, 0, 1, 0]]
    assert features_of({"image": {}}, {"image": {}}, ["image"], train, test) is None


def test_what_is_not_beaten_is_a_sentence():
    labels = np.array([0] * 60 + [1] * 40)
    right, some = (labels + np.where(np.arange(100) % n, 0, 1) for n in (50, 2))
    majority = classification_scores(np.tile([1.0, 0.0], (100, 1)), labels)

    def verdicts(predicted):
        scores = classification_scores(np.eye(2)[predicted % 2], labels)
        parts = baseline_parts({"h": {"most": majority}}, {"h": ([], [], scores)}, 300, 0)
        low, high = parts["most"]["difference"]["h/accuracy"]["interval"]
        model = {"h/accuracy": scores.metrics()["accuracy"]}
        return unbeaten(parts, model, {}), low, high

    sentences, low, _ = verdicts(right)
    assert sentences == {}
    assert low > 0
    sentences, low, high = verdicts(some)
    assert low < 0 < high
    mentions(sentences["h"], "h/accuracy 0.500 ", "better", " most (0.600)", "interval")
    sentences, _, high = verdicts(1 - labels)
    assert high < 0
    mentions(sentences["h"], "h/accuracy 0.000 ", "worse", " most (0.600)")


def test_less_error_is_better():
    truth = np.arange(20.0)
    model, mean = (regression_scores(x, truth) for x in (truth + 0.1, np.full(20, 9.5)))
    for ours, theirs, beaten in ((model, mean, True), (mean, model, False)):
        parts = baseline_parts({"n": {"other": theirs}}, {"n": ([], [], ours)}, 100, 0)
        assert (unbeaten(parts, {"n/mae": ours.metrics()["mae"]}, {}) == {}) == beaten
