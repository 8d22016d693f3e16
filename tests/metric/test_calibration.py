"""Expected calibration error against torchmetrics, and what must hold of it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from mmtx_cli.metric.calibration import calibration_scores


@pytest.mark.parametrize("bins", [5, 15])
def test_as_torchmetrics_has_it(bins):
    random = np.random.default_rng(0)
    p = random.dirichlet(np.full(6, 0.4), size=400)
    labels = random.integers(6, size=400)
    found = calibration_scores(p.max(axis=1), p.argmax(axis=1) == labels, bins).metrics()["ece"]
    there = multiclass_calibration_error(
        torch.tensor(p), torch.tensor(labels), num_classes=6, n_bins=bins, norm="l1"
    )
    assert found == pytest.approx(float(there), abs=1e-6)


def test_as_sure_as_right():
    confidence = np.full(1000, 0.75)
    correct = np.arange(1000) % 4 > 0
    scores = calibration_scores(confidence, correct)
    assert scores.metrics()["ece"] == pytest.approx(0)
    low, high = scores.intervals()["ece"]
    assert 0 <= low < high < 0.1
    assert calibration_scores(confidence, ~correct).metrics()["ece"] == pytest.approx(0.5)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_between_nothing_and_everything(predicted):
    confidence, correct = map(np.array, zip(*predicted, strict=True))
    assert 0 <= calibration_scores(confidence, correct).metrics()["ece"] <= 1
