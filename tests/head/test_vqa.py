import math
from math import nan

import pytest
import torch

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.vqa import VqaHead
from mmtx_cli.types import Batch, Tokens
from tests.messages import raises

from .words import Words

DIM, NAMES = 8, ["yes", "no", "red"]


@pytest.fixture
def streams():
    return {"fused": Tokens(torch.randn(3, 2, DIM), torch.ones(3, 2, dtype=torch.bool))}


def test_soft_scores_are_learned(streams):
    head = VqaHead(DIM, ["fused"], NAMES)
    target = torch.tensor([[1.0, 0.3, 0], [nan] * 3, [0, 0, 1.0]])
    prediction = head(streams, Batch({}, {"answers": target}, list("abc")))
    logits = prediction.outputs["logits"].detach().double().tolist()
    total = 0.0
    for row, wanted in ((logits[0], [1, 0.3, 0]), (logits[2], [0, 0, 1])):
        for x, t in zip(row, wanted, strict=True):
            p = 1 / (1 + math.exp(-x))
            total -= t * math.log(p) + (1 - t) * math.log(1 - p)
    assert prediction.loss.item() == pytest.approx(total / 2, rel=1e-5)
    assert prediction.outputs["count"].item() == 2
    assert head(streams, Batch({}, {}, list("abc"))).loss is None
    worth = [
        wanted[row.index(max(row))] for row, wanted in zip(logits, target.tolist(), strict=True)
    ]
    validated = head.eval()(streams, Batch({}, {"answers": target}, list("abc")))
    assert validated.metrics["accuracy"].item() == pytest.approx((worth[0] + worth[2]) / 2)


def test_answers_are_scored_by_annotator_agreement():
    head = VqaHead(DIM, ["fused"], NAMES)
    samples = [
        Sample("a", "test", answers={"yes": 10.0}),
        Sample("b", "test", answers={"yes": 9.0, "no": 1.0}),
        Sample("c", "test", answers={"blue": 10.0}),
    ]
    logits = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]])
    found = head.evaluate([[{"logits": row}] for row in logits], samples, Words())
    assert [row["prediction"] for row in found.rows] == NAMES
    assert found.scores.per_sample["accuracy"].tolist() == [1.0, pytest.approx(0.3), 0.0]
    assert found.scores.metrics() == {
        "accuracy": pytest.approx(1.3 / 3),
        "exact_match": pytest.approx(1 / 3),
    }


def test_answers_are_compared_in_their_normal_form():
    head = VqaHead(DIM, ["fused"], NAMES)
    sample = Sample("a", "test", answers={"Yes.": 6.0, "the yes": 4.0})
    logits = torch.tensor([2.0, 0, 0])
    found = head.evaluate([[{"logits": logits}]], [sample], Words())
    assert found.scores.metrics()["accuracy"] == 1.0
    assert found.rows[0]["answers"] == {"Yes.": 6.0, "the yes": 4.0}


def test_no_answers_to_choose_from():
    with raises(ValueError, "training row", "answers"):
        VqaHead(DIM, ["fused"], [])
