import math

import pytest
import torch

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.regression import LOSSES, RegressionHead
from mmtx_cli.types import Batch, Tokens
from tests.messages import raises

from .words import Words

DIM = 8


def head_of(streams=("image",), **settings):
    return RegressionHead(DIM, streams, **{"label_mean": 10.0, "label_std": 4.0, **settings})


@pytest.fixture
def streams():
    mask = torch.tensor([[1, 1], [1, 0], [1, 1]]).bool()
    return {name: Tokens(torch.randn(3, 2, DIM), mask) for name in ("image", "text")}


def batch_of(*numbers):
    return Batch({}, {"number": torch.tensor(numbers)}, list("abc"))


@pytest.mark.parametrize(
    ("form", "each"),
    [
        ("l1", abs),
        ("mse", lambda e: e * e),
        ("huber", lambda e: 0.5 * e * e if abs(e) < 1 else abs(e) - 0.5),
    ],
)
def test_the_loss_is_in_standard_deviations(streams, form, each):
    head = head_of(loss=form)
    prediction = head(streams, batch_of(3.0, math.nan, 15.0))
    predicted = prediction.outputs["number"].tolist()
    wanted = (each((predicted[0] - 3) / 4) + each((predicted[2] - 15) / 4)) / 2
    assert prediction.loss.item() == pytest.approx(wanted, rel=1e-5)
    assert prediction.outputs["count"].item() == 2
    prediction.loss.backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_no_target_at_all(streams):
    head = head_of()
    loss = head(streams, batch_of(math.nan, math.nan, math.nan)).loss
    loss.backward()
    assert loss.item() == 0
    assert not any(p.grad.any() for p in head.parameters())
    assert head(streams, Batch({}, {}, list("abc"))).loss is None


def test_figures_are_in_units_of_the_label(streams):
    head = head_of()
    message = head.predict(streams, batch_of(0.0, 0.0, 0.0))["number"].detach()
    samples = [Sample(str(i), "test", label=float(y) + 2) for i, y in enumerate(message.tolist())]
    found = head.evaluate([[{"number": y}] for y in message], samples, Words())
    assert found.scores.metrics()["mae"] == pytest.approx(2, rel=1e-5)
    assert found.rows[0]["prediction"] == pytest.approx(found.rows[0]["label"] - 2, rel=1e-5)


def test_invalid_settings():
    with raises(ValueError, "loss='l2' ", ", ".join(LOSSES)):
        head_of(loss="l2")
    with raises(ValueError, "fusion.vote=product ", "probabilities"):
        head_of(("image", "text"), vote="product")
