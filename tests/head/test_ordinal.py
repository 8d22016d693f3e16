import numpy as np
import pytest
import torch

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.ordinal import OrdinalHead
from mmtx_cli.types import IGNORE_INDEX, Batch, Tokens
from tests.messages import raises

from .words import Words

DIM, NAMES = 8, ["low", "middle", "high", "top"]


@pytest.fixture
def streams():
    return {"image": Tokens(torch.randn(4, 2, DIM), torch.ones(4, 2, dtype=torch.bool))}


def head_of(**settings):
    return OrdinalHead(DIM, ["image"], NAMES, **settings)


def batch_of(*labels):
    return Batch({}, {"label": torch.tensor(labels)}, list("abcd"))


def test_thresholds_rise_whatever_is_learned():
    head = head_of()
    torch.testing.assert_close(head.thresholds(), torch.tensor([-1.0, 0, 1]), atol=1e-3, rtol=0)
    torch.nn.init.normal_(head.rise, std=10)
    assert (head.thresholds().diff() >= 0).all()


def test_every_threshold_is_a_question(streams):
    head = head_of()
    prediction = head(streams, batch_of(0, 3, IGNORE_INDEX, 1))
    above = prediction.outputs["above"].detach().sigmoid().double().numpy()
    total = 0.0
    for p, label in ((above[0], 0), (above[1], 3), (above[3], 1)):
        total -= np.mean([np.log(p[k] if label > k else 1 - p[k]) for k in range(3)])
    assert prediction.loss.item() == pytest.approx(total / 3, rel=1e-5)
    assert prediction.outputs["count"].item() == 3


def test_it_learns_an_order(streams):
    head, batch = head_of(), batch_of(0, 1, 2, 3)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        head(streams, batch).loss.backward()
        optimizer.step()
    above = head.predict(streams, batch)["above"].detach()
    samples = [Sample(name, "test", label=name) for name in NAMES]
    found = head.evaluate([[{"above": row}] for row in above], samples, Words())
    assert [row["prediction"] for row in found.rows] == NAMES
    figures = found.scores.metrics()
    assert figures.pop("ece") < 0.2
    assert figures == {"accuracy": 1.0, "mae": 0.0, "kappa": 1.0}


def test_what_has_no_order():
    with raises(ValueError, "several labels"):
        head_of(multi_label=True)
    with raises(ValueError, "two classes", "['one']"):
        OrdinalHead(DIM, ["image"], ["one"])
