"""Matching: samples as they are against samples put together."""

import pytest
import torch

from mmtx_cli.counter_rng.tensors import id_tensor, step_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.model.build import build_model
from mmtx_cli.types import FUSED, Prediction, Tokens
from tests.messages import raises
from tests.tiny import composed, gradients, tiny_batch, tiny_model

COUNTS = {"text": [4, 3, 0, 5, 2], "image": [1, 1, 1, 0, 1]}
BOTH = [0, 1, 4]


@pytest.fixture
def model():
    return tiny_model("concat", ["matching", "contrastive"])


def mixed_rows(model, predicted=None, seed=0):
    """Which sample each of the rows that are fused has its text and its picture from."""
    b = len(COUNTS["text"])
    mask = {name: torch.tensor(counts)[:, None] > 0 for name, counts in COUNTS.items()}
    numbers = torch.arange(1.0, b + 1)[:, None, None].expand(b, 1, model.dim)
    keys = step_keys(id_tensor(str(i) for i in range(b)), seed, step=0)
    mixed = model.head["matching"].make_negatives(
        {name: Tokens(numbers, mask[name]) for name in mask}, predicted or {}, keys
    )
    return {name: (t.x[:, 0, 0].long() - 1).tolist() for name, t in mixed.items()}, mixed


@pytest.mark.parametrize("training", [False, True])
def test_negatives_are_other_samples_that_have_both(model, training):
    model.train(training)
    for seed in range(20):
        rows, mixed = mixed_rows(model, seed=seed)
        for tokens in mixed.values():
            assert tokens.present.tolist() == [i in BOTH for i in range(5)] * 3
        pairs = list(zip(rows["image"], rows["text"], strict=True))
        for own in BOTH:
            whole, other_text, other_image = (pairs[5 * part + own] for part in range(3))
            assert whole == (own, own)
            assert other_text[0] == other_image[1] == own
            assert {other_text[1], other_image[0]} <= {*BOTH} - {own}


def test_hard_negatives_are_drawn_by_similarity(model):
    """A softmax of the similarities says how often."""
    model.train()
    image, text = torch.zeros(5, 5), torch.eye(5)
    image[0, 1] = 1.0  # the picture of 0 is like the text of 1, and like no other
    predicted = {"c": Prediction(None, {"image": image, "text": text, "scale": torch.tensor(2.0)})}
    drawn = [mixed_rows(model, predicted, seed)[0] for seed in range(800)]
    likely = torch.tensor([2.0, 0.0]).softmax(dim=0)[0].item()
    texts = [rows["text"][5] for rows in drawn]  # for the picture of 0
    assert texts.count(1) / 800 == pytest.approx(likely, abs=0.05)
    assert texts.count(4) / 800 == pytest.approx(1 - likely, abs=0.05)
    images = [rows["image"][10 + 1] for rows in drawn]  # for the text of 1
    assert images.count(0) / 800 == pytest.approx(likely, abs=0.05)


def test_the_loss_is_the_cross_entropy_of_all_rows(model):
    model = model.double().eval()
    batch = tiny_batch(model, COUNTS)
    prediction = model(batch)["matching"]
    logits = prediction.outputs["logits"].tolist()
    total = 0.0
    for place, logit in enumerate(logits):
        if place % 5 in BOTH:
            sign = 1 if place < 5 else -1
            total += torch.tensor(-sign * logit, dtype=torch.float64).exp().log1p().item()
    assert prediction.loss.item() == pytest.approx(total / 9, rel=1e-5)
    assert prediction.outputs["count"].item() == 9


def test_a_pair_alone_has_no_negatives(model):
    batch = tiny_batch(model, {"text": [3, 0], "image": [1, 1]})
    prediction = model.train()(batch)["matching"]
    assert prediction.outputs["count"].item() == 1
    assert prediction.loss.isfinite()
    prediction.loss.backward()
    assert all(g.isfinite().all() for g in gradients(model).values())


def test_similarities_are_not_learned_from_the_draw(model):
    batch = tiny_batch(model, COUNTS)
    model.train()(batch)["matching"].loss.backward()
    assert not any(p.grad is not None for p in model.head["contrastive"].parameters())


def test_predictions_for_unmodified_samples(model):
    batch = tiny_batch(model, COUNTS)
    predicted = model.predict(batch)["matching"]["probability"]
    whole = model(batch)["matching"].outputs["logits"][:5].sigmoid()
    torch.testing.assert_close(predicted[BOTH], whole[BOTH])


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["fusion=decision"], ["fusion=cross_attention"]),
        (["fusion=concat", "encoder.text=null"], ["pair: ", " image,"]),
        (
            ["fusion=concat", "head.matching.pair=[image,audio]"],
            ["pair: ", " image, text", "pair=[image,text]"],
        ),
    ],
)
def test_what_cannot_be_matched(args, parts):
    cfg = composed("encoder/image=vit", "encoder/text=transformer", "head=matching", *args)
    encoders = {name: node for name, node in cfg["encoder"].items() if node}
    with raises(ConfigError, "head.matching: ", *parts):
        build_model({"model": {**cfg, "encoder": encoders}})


def test_reads_what_is_fused(model):
    assert model.head["matching"].streams == (FUSED,)


@pytest.mark.slow
def test_learns_pairs_by_heart(model):
    model.train()
    batch = tiny_batch(model, {"text": [4, 6, 7, 3], "image": [1, 1, 1, 1]}, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    torch.manual_seed(0)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = model(batch)["matching"].loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.2 * sum(losses[:10])
