import importlib.util

import numpy as np
import pytest
import torch

from mmtx_cli.errors import DataError
from mmtx_cli.metric.classification import classification_scores, multilabel_scores
from tests.messages import raises

needs_torchmetrics = pytest.mark.skipif(
    importlib.util.find_spec("torchmetrics") is None, reason="torchmetrics is not installed"
)


def draw(n, c, seed):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, c))
    labels = random.integers(c, size=n)
    logits[np.arange(n), labels] += 1
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def f1(truth, guess):
    both = sum(t and g for t, g in zip(truth, guess, strict=True))
    given = sum(truth) + sum(guess)
    return 2 * both / given if given else None


def mean(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "c"), [(1, 2), (7, 3), (30, 6), (200, 12)])
def test_equals_a_loop(n, c, seed):
    probabilities, labels = draw(n, c, seed)
    figures = classification_scores(probabilities, labels).metrics()
    order = [sorted(range(c), key=lambda k: (-p[k], k)) for p in probabilities]
    guesses = [o[0] for o in order]
    assert figures["accuracy"] == pytest.approx(np.mean(guesses == labels))
    per_class = [f1([x == k for x in labels], [x == k for x in guesses]) for k in range(c)]
    assert figures["f1_macro"] == pytest.approx(mean(per_class))
    assert ("top5_accuracy" in figures) == (c > 5)
    if c > 5:
        top = [label in o[:5] for label, o in zip(labels, order, strict=True)]
        assert figures["top5_accuracy"] == pytest.approx(np.mean(top))


@needs_torchmetrics
def test_equals_torchmetrics():
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

    probabilities, labels = draw(300, 9, 1)
    figures = classification_scores(probabilities, labels).metrics()
    p, y = torch.tensor(probabilities), torch.tensor(labels)
    for name, value in (
        ("accuracy", multiclass_accuracy(p, y, 9, average="micro")),
        ("top5_accuracy", multiclass_accuracy(p, y, 9, average="micro", top_k=5)),
        ("f1_macro", multiclass_f1_score(p, y, 9, average="macro")),
    ):
        assert figures[name] == pytest.approx(float(value), abs=1e-6)


def test_equal_probabilities_do_not_find_every_label():
    scores = classification_scores(np.full((20, 10), 0.1), np.arange(20) % 10)
    assert scores.metrics()["accuracy"] == pytest.approx(0.1)
    assert scores.metrics()["top5_accuracy"] == pytest.approx(0.5)


def test_classes_that_do_not_occur_do_not_count():
    probabilities = np.eye(7)[[0, 1, 1]]
    scores = classification_scores(probabilities, np.array([0, 1, 1]))
    assert scores.metrics()["f1_macro"] == 1
    assert scores.subset(np.array([0])).metrics()["f1_macro"] == 1


def test_intervals_hold_the_figures():
    scores = classification_scores(*draw(200, 6, 0))
    for name, (low, high) in scores.intervals().items():
        assert low < scores.metrics()[name] < high


def test_names_rows_with_wrong_input():
    with raises(DataError, "2 samples", "label", "[0, 3)", ": rows 1, 2"):
        classification_scores(np.eye(3), np.array([0, 3, -1]))
    with raises(DataError, "NaN", ": rows 0"):
        classification_scores(np.array([[np.nan, 1.0]]), np.array([0]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "c"), [(1, 1), (9, 4), (60, 7)])
def test_multilabel_equals_a_loop(n, c, seed):
    random = np.random.default_rng(seed)
    probabilities, targets = random.random((n, c)), random.random((n, c)) < 0.3
    scores = multilabel_scores(probabilities, targets, threshold=0.6)
    figures, guesses = scores.metrics(), probabilities >= 0.6
    assert figures["f1_micro"] == pytest.approx(f1(targets.ravel(), guesses.ravel()) or 0)
    per_label = [f1(targets[:, k], guesses[:, k]) for k in range(c)]
    assert figures["f1_macro"] == pytest.approx(mean(per_label))
    assert figures["exact_match"] == pytest.approx(np.mean((targets == guesses).all(axis=1)))
    own = [f1(t, g) for t, g in zip(targets, guesses, strict=True)]
    assert scores.per_sample["f1"] == pytest.approx([1 if x is None else x for x in own])


@needs_torchmetrics
def test_multilabel_equals_torchmetrics():
    from torchmetrics.functional.classification import multilabel_exact_match, multilabel_f1_score

    random = np.random.default_rng(0)
    probabilities, targets = random.random((200, 5)), random.random((200, 5)) < 0.4
    figures = multilabel_scores(probabilities, targets).metrics()
    p, y = torch.tensor(probabilities), torch.tensor(targets).long()
    for name, value in (
        ("f1_micro", multilabel_f1_score(p, y, 5, average="micro")),
        ("f1_macro", multilabel_f1_score(p, y, 5, average="macro")),
        ("exact_match", multilabel_exact_match(p, y, 5)),
    ):
        assert figures[name] == pytest.approx(float(value), abs=1e-6)
