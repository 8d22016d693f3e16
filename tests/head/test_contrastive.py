import math
from itertools import combinations

import numpy as np
import pytest
import torch

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.errors import DataError
from mmtx_cli.head.contrastive import MAX_SCALE, ContrastiveHead
from mmtx_cli.types import FUSED, Batch, Tokens
from tests.messages import raises

from .words import Words

DIM, B = 8, 6
ABSENT = {"image": [4], "text": [0, 4], "audio": [1, 5]}


def streams_of(*names, absent=ABSENT):
    made = {}
    for name in names:
        mask = torch.ones(B, 3, dtype=torch.bool)
        mask[:, 2] = False
        mask[absent.get(name, [])] = False
        made[name] = Tokens(torch.randn(B, 3, DIM), mask)
    return made


def batch_of(size=B):
    return Batch({}, {}, [str(i) for i in range(size)])


def head_of(*names, **kwargs):
    return ContrastiveHead(DIM, names, embed_dim=4, **kwargs)


def naive_infonce(a, b, scale):
    """Radford et al. 2021, figure 3, of the samples that have both; element by element."""
    total = 0.0
    for i in range(len(a)):
        for query, keys in ((a[i], b), (b[i], a)):
            scores = [scale * query @ key for key in keys]
            total += (math.log(sum(math.exp(s) for s in scores)) - scores[i]) / 2
    return total / len(a)


def naive_sigmoid(a, b, scale, bias):
    """Zhai et al. 2023, equation 1, of the samples that have both; element by element."""
    total = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            z = 1 if i == j else -1
            total += math.log(1 + math.exp(z * (-scale * a[i] @ b[j] - bias)))
    return total / len(a)


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
@pytest.mark.parametrize("names", [("image", "text"), ("audio", "image", "text")])
@pytest.mark.parametrize("training", [False, True])
def test_agrees_with_the_paper(loss, names, training):
    head, streams = head_of(*names, loss=loss).train(training), streams_of(*names)
    with torch.no_grad():
        head.log_scale.fill_(1.3)
        if head.bias is not None:
            head.bias.fill_(-0.7)
    prediction = head(streams, batch_of())
    embeddings = {k: x.detach().double().numpy() for k, x in prediction.outputs.items()}
    wanted = []
    for one, other in combinations(names, 2):
        both = [i for i in range(B) if i not in ABSENT[one] + ABSENT[other]]
        a, b, scale = embeddings[one][both], embeddings[other][both], math.exp(1.3)
        wanted.append(
            naive_infonce(a, b, scale) if loss == "infonce" else naive_sigmoid(a, b, scale, -0.7)
        )
    assert prediction.loss.item() == pytest.approx(np.mean(wanted), rel=1e-5)


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_absent_samples_do_not_affect_the_loss(loss):
    names = ("image", "text")
    head, streams = head_of(*names, loss=loss), streams_of(*names)
    both = torch.tensor([1, 2, 3, 5])
    few = {k: Tokens(t.x[both], t.mask[both]) for k, t in streams.items()}
    torch.testing.assert_close(head(streams, batch_of()).loss, head(few, batch_of(4)).loss)


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_no_pair_at_all(loss):
    head = head_of("image", "text", loss=loss)
    streams = streams_of("image", "text", absent={"image": range(B)})
    value = head(streams, batch_of()).loss
    assert value.item() == 0.0
    value.backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_half_precision_does_not_reach_the_similarities(loss):
    head, streams = head_of("image", "text", loss=loss), streams_of("image", "text")
    with torch.no_grad():
        head.log_scale.fill_(math.log(80.0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = head(streams, batch_of())
    both = [1, 2, 3, 5]
    a, b = (prediction.outputs[k].detach().double().numpy()[both] for k in ("image", "text"))
    wanted = naive_infonce(a, b, 80) if loss == "infonce" else naive_sigmoid(a, b, 80, -10)
    assert prediction.loss.item() == pytest.approx(wanted, rel=1e-4)


def test_where_the_scale_starts_and_ends():
    assert head_of("image", "text").log_scale.exp().item() == pytest.approx(1 / 0.07)
    sigmoid = head_of("image", "text", loss="sigmoid")
    assert sigmoid.log_scale.exp().item() == pytest.approx(10)
    assert sigmoid.bias.item() == -10
    head, streams = head_of("image", "text"), streams_of("image", "text")
    losses = []
    for value in (math.log(MAX_SCALE), 10.0):
        with torch.no_grad():
            head.log_scale.fill_(value)
        losses.append(head(streams, batch_of()).loss)
    torch.testing.assert_close(*losses)


def test_outputs_are_unit_vectors():
    head, streams = head_of("image", "text"), streams_of("image", "text")
    outputs = head.predict(streams, batch_of())
    assert outputs["text_present"].tolist() == [i not in ABSENT["text"] for i in range(B)]
    for name in ("image", "text"):
        norms = outputs[name].norm(dim=1)
        torch.testing.assert_close(norms, outputs[f"{name}_present"].float())


def test_reads_the_modalities_not_what_is_fused():
    assert head_of("text", "image", FUSED).streams == ("image", "text")


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"streams": ["image"]}, ["two streams", "streams ", "['image']"]),
        ({"loss": "triplet"}, ["loss='triplet' ", "'infonce'", "'sigmoid'"]),
        ({"streams": ["image", "video"]}, ["streams: ", "stream 'video'"]),
    ],
)
def test_what_it_refuses(kwargs, parts):
    with raises(ValueError, *parts):
        head_of("image", "text", **kwargs)


class TestEvaluate:
    """Three pictures; the first has two captions, the last has none."""

    samples = [Sample("a", "test"), Sample("b", "test"), Sample("c", "test")]

    def outputs(self):
        def row(image, text):
            zero = torch.zeros(2)
            return {
                "image": zero if image is None else torch.tensor(image),
                "text": zero if text is None else torch.tensor(text),
                "image_present": torch.tensor(image is not None),
                "text_present": torch.tensor(text is not None),
            }

        return [
            [row([1.0, 0.0], [0.8, 0.6]), row(None, [0.6, 0.8])],
            [row([0.0, 1.0], [0.0, 1.0])],
            [row([0.6, 0.8], None)],
        ]

    def test_recall_both_ways(self):
        # of a's texts the first likes c's picture (.96) more than its own (.8), the second c's (1)
        # and b's (.8) more than its own (.6); b's text and all pictures find their partners
        evaluation = head_of("image", "text").evaluate(self.outputs(), self.samples, Words())
        figures = evaluation.scores.metrics()
        assert figures["image_to_text_r1"] == 1.0
        assert figures["text_to_image_r1"] == pytest.approx(1 / 3)
        assert figures["text_to_image_r5"] == 1.0
        assert figures["mean_recall"] == pytest.approx((5 + 1 / 3) / 6)
        assert [row["text_to_image_rank"] for row in evaluation.rows] == [1.5, 0.0, None]
        assert [row["image_to_text_rank"] for row in evaluation.rows] == [0.0, 0.0, None]

    def test_any_modality_to_any(self):
        def row(i):
            embedding = torch.eye(3)[i]
            there = {"a_present": True, "b_present": True, "c_present": i > 0}
            return dict.fromkeys("abc", embedding) | {k: torch.tensor(x) for k, x in there.items()}

        outputs = [[row(i)] for i in range(3)]
        figures = head_of("a", "b", "c").evaluate(outputs, self.samples, Words()).scores.metrics()
        ways = {name.removesuffix("_r1") for name in figures if name.endswith("_r1")}
        assert ways == {f"{a}_to_{b}" for a in "abc" for b in "abc" if a != b}
        assert set(figures.values()) == {1.0}

    def test_nothing_to_retrieve(self):
        head = head_of("image", "text")
        with raises(DataError, "sample", " two ", "image and text"):
            head.evaluate(self.outputs()[2:], self.samples[2:], Words())
        apart = [[self.outputs()[2][0]], [self.outputs()[0][1]]]
        with raises(DataError, "sample", " two ", "image and text"):
            head.evaluate(apart, self.samples[:2], Words())
