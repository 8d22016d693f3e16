"""Linear probes at their optimum, checked by derivatives and by closed forms in numpy."""

import numpy as np
import pytest
import torch

from mmtx_cli.metric.linear_probe import linear_classifier, linear_regression


def test_separable_classes_are_separated():
    generator = torch.Generator().manual_seed(0)
    centers = 4 * torch.eye(3)
    labels = torch.arange(90) % 3
    x = centers[labels] + torch.randn(90, 3, generator=generator)
    p = linear_classifier(x[:60], labels[:60], 3, x[60:])
    assert p.sum(dim=1) == pytest.approx(1)
    assert (p.argmax(dim=1) == labels[60:]).float().mean() > 0.9


def test_no_step_improves_the_classifier():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(80, 4, generator=generator, dtype=torch.float64)
    labels = (x[:, 0] + torch.randn(80, generator=generator)).gt(0).long()
    p = linear_classifier(x, labels, 2, x)
    # at the optimum the residuals' correlation with each feature is the penalised weight; with
    # two classes the weights are opposite, and half the difference of the logits gives them
    z = (x - x.mean(0)) / x.std(0, correction=0)
    logit = (p[:, 1] / p[:, 0]).log()
    weight = np.linalg.lstsq(np.c_[z.numpy(), np.ones(80)], logit.numpy(), rcond=None)[0]
    gradient = z.T @ (p[:, 1] - labels)
    assert gradient.numpy() + weight[:-1] / 2 == pytest.approx(0, abs=1e-4)
    assert float((p[:, 1] - labels).sum()) == pytest.approx(0, abs=1e-4)


def test_ridge_as_numpy_solves_it():
    random = np.random.default_rng(0)
    x, y = random.normal(2, 3, (50, 4)), random.normal(size=50)
    x[:, 2] = 7.0  # a constant feature says nothing and breaks nothing
    predicted = linear_regression(torch.tensor(x), torch.tensor(y), torch.tensor(x[:5]))
    scale = np.where(x.std(0) > 0, x.std(0), 1)
    z = (x - x.mean(0)) / scale
    weight = np.linalg.solve(z.T @ z + np.eye(4), z.T @ (y - y.mean()))
    assert predicted.numpy() == pytest.approx(z[:5] @ weight + y.mean(), abs=1e-8)
