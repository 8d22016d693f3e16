import math

import numpy as np
import pytest
import torch

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.classification import ClassificationHead
from mmtx_cli.types import FUSED, IGNORE_INDEX, Batch, Tokens
from tests.messages import raises

from .words import Words

DIM, NAMES = 8, ["red", "green", "blue"]


def head_of(available=("image",), **kwargs):
    return ClassificationHead(DIM, available, NAMES, **kwargs)


@pytest.fixture
def streams():
    """The third sample lacks the text, the fourth everything."""
    return {
        "image": Tokens(
            torch.randn(4, 2, DIM), torch.tensor([[1, 1], [1, 0], [1, 0], [0, 0]]).bool()
        ),
        "text": Tokens(
            torch.randn(4, 2, DIM), torch.tensor([[1, 0], [1, 1], [0, 0], [0, 0]]).bool()
        ),
    }


def batch_of(target):
    return Batch({}, {"label": torch.tensor(target)}, list("abcd"))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("training", [False, True])
def test_one_label(streams, smoothing, training):
    head = head_of(label_smoothing=smoothing).train(training)
    labels = [2, IGNORE_INDEX, 0, 1]
    prediction = head(streams, batch_of(labels))
    logits = prediction.outputs["logits"].detach().double().numpy()
    smoothing = smoothing if training else 0.0
    total = 0.0
    for x, label in zip(logits, labels, strict=True):
        if label != IGNORE_INDEX:
            log_p = x - math.log(np.exp(x).sum())
            total -= (1 - smoothing) * log_p[label] + smoothing * log_p.mean()
    assert prediction.loss.item() == pytest.approx(total / 3, rel=1e-5)
    assert prediction.outputs["count"].item() == 3


def test_several_labels(streams):
    head = head_of(multi_label=True)
    targets = [[1, 0, 1], [IGNORE_INDEX] * 3, [0, 0, 0], [0, 1, 0]]
    prediction = head(streams, batch_of(targets))
    logits = prediction.outputs["logits"].detach().double().numpy()
    each = [
        np.mean(
            [
                math.log(1 + math.exp(x if no else -x))
                for x, no in zip(row, 1 - np.array(t), strict=True)
            ]
        )
        for row, t in zip(logits, targets, strict=True)
        if t[0] != IGNORE_INDEX
    ]
    assert prediction.loss.item() == pytest.approx(np.mean(each), rel=1e-5)
    assert prediction.outputs["count"].item() == 3


@pytest.mark.parametrize("multi_label", [False, True])
def test_no_label_at_all(streams, multi_label):
    head = head_of(multi_label=multi_label)
    target = [[IGNORE_INDEX] * 3] * 4 if multi_label else [IGNORE_INDEX] * 4
    loss = head(streams, batch_of(target)).loss
    assert loss.item() == 0.0
    loss.backward()
    assert all(not p.grad.any() for p in head.parameters())


def test_no_target_no_loss(streams):
    prediction = head_of()(streams, Batch({}, {}, list("abcd")))
    assert prediction.loss is None
    assert prediction.outputs["logits"].shape == (4, 3)


def test_present_streams_vote(streams):
    head = head_of(("text", "image"))
    logits = head.predict(streams, Batch({}, {}, list("abcd")))["logits"]
    votes = {}
    for name in streams:
        single = head_of((name,))
        own = head.readout.score[name].state_dict()
        single.readout.score[name].load_state_dict(own)
        votes[name] = single.predict(streams, Batch({}, {}, list("abcd")))["logits"]
    torch.testing.assert_close(logits[:2], (votes["image"] + votes["text"])[:2] / 2)
    torch.testing.assert_close(logits[2], votes["image"][2])
    assert not logits[3].any()


def test_what_it_reads():
    assert head_of(("text", "image")).streams == ("image", "text")
    assert head_of(("text", "image", FUSED)).streams == (FUSED,)
    assert head_of(("text", "image", FUSED), streams=["text"]).streams == ("text",)
    with raises(ValueError, "streams: ", "stream 'audio'", "'image'"):
        head_of(("text", "image"), streams=["audio"])
    with raises(ValueError, "streams ", "empty"):
        head_of(("text", "image"), streams=[])


def predicted(*logits):
    return [[{"logits": torch.tensor(row)}] for row in logits]


def test_evaluates_one_label():
    samples = [Sample(str(i), "test", label=name) for i, name in enumerate(["red", "green", "red"])]
    outputs = predicted([2.0, 0.0, 0.0], [0.0, 0.0, 1.0], [3.0, 0.0, 0.0])
    evaluation = head_of().evaluate(outputs, samples, Words())
    figures = evaluation.scores.metrics()
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["f1_macro"] == pytest.approx((1 + 0 + 0) / 3)
    wrong = evaluation.rows[1]
    assert (wrong["prediction"], wrong["label"]) == ("blue", "green")
    whole = 2 + math.e
    assert wrong["probability"] == pytest.approx(math.e / whole)
    assert wrong["scores"]["probability_of_label"] == pytest.approx(1 / whole)
    assert [name for name, _ in wrong["top"]] == ["blue", "red", "green"]


def test_evaluates_several_labels():
    labels = [("red", "blue"), (), "green"]
    samples = [Sample(str(i), "test", label=label) for i, label in enumerate(labels)]
    outputs = predicted([2.0, -2.0, 2.0], [-1.0, -1.0, -1.0], [1.0, 1.0, -1.0])
    evaluation = head_of(multi_label=True).evaluate(outputs, samples, Words())
    figures = evaluation.scores.metrics()
    assert figures["exact_match"] == pytest.approx(2 / 3)
    assert figures["f1_micro"] == pytest.approx(2 * 3 / (4 + 3))
    assert [row["prediction"] for row in evaluation.rows] == [["red", "blue"], [], ["red", "green"]]
    assert [row["label"] for row in evaluation.rows] == [["red", "blue"], [], ["green"]]


@pytest.mark.parametrize("vote", ["weights", "product", "stacking"])
def test_the_fusion_sets_how_streams_vote(streams, vote):
    head = head_of(("text", "image"), vote=vote)
    assert head.readout.vote.kind == vote
    assert head.predict(streams, Batch({}, {}, list("abcd")))["logits"].shape == (4, 3)
