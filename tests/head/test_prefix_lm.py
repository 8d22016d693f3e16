"""Prefix language modeling: the rest of a text from its beginning and what goes with it."""

from dataclasses import replace

import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.layer.context import Context
from mmtx_cli.types import IGNORE_INDEX, ModalityInput
from tests.messages import raises
from tests.tiny import at_step, gradients, tiny_batch, tiny_model

COUNTS = {"text": [7, 2, 0, 1, 5], "image": [1, 1, 1, 1, 0]}


@pytest.fixture
def model():
    return tiny_model("concat", ["prefix_lm"]).double()


def test_the_loss_is_the_cross_entropy_of_what_follows(model):
    head, batch = model.head["prefix_lm"], tiny_batch(model, COUNTS)
    view = head.prepare_batch(batch)
    streams = model.streams(view, head.streams, {})
    total, count = 0.0, 0
    for i, length in enumerate(COUNTS["text"]):
        seen = int(view.inputs["text"].mask[i].sum())
        text = batch.inputs["text"].data[i]
        assert 1 <= seen < max(length, 2) if length else seen == 0
        for j in range(seen, length):  # one word after the other, each from those before it
            context = streams["fused"].x[i : i + 1], streams["fused"].mask[i : i + 1]
            hidden = head.decoder(text[None, seen - 1 : j], Context(*context))[0, -1]
            logits = head.decoder.embedding.weight @ hidden
            total -= logits.log_softmax(0)[text[j]]
            count += 1
    found = model(batch)["prefix_lm"]
    assert (
        int(found.outputs["count"])
        == count
        == 6 + 1 + 0 + 0 + 4 - sum(int(n) - 1 for n in view.inputs["text"].mask.sum(1) if n)
    )
    torch.testing.assert_close(found.loss, total / count, atol=1e-10, rtol=1e-10)


def test_what_follows_is_not_seen(model):
    head, batch = model.head["prefix_lm"], tiny_batch(model, COUNTS)
    view = head.prepare_batch(batch)
    field = view.inputs["text"]
    other = ModalityInput(field.data.where(field.mask, 29), field.mask)
    a = model.streams(view, head.streams, {})["fused"]
    changed = replace(view, inputs={**view.inputs, "text": other})
    b = model.streams(changed, head.streams, {})["fused"]
    assert torch.equal(a.x, b.x)
    text = batch.inputs["text"].data.clone()
    text[0, 6] = (text[0, 6] - 4) % 20 + 5  # the last word of the first text is told last
    before, _ = head.nll(a_streams := model.streams(view, head.streams, {}), view)
    again = replace(
        batch, inputs={**batch.inputs, "text": ModalityInput(text, batch.inputs["text"].mask)}
    )
    after, following = head.nll(a_streams, head.prepare_batch(again))
    last = int((following[0] != IGNORE_INDEX).sum()) - 1
    assert torch.equal(before[0, :last], after[0, :last])


def test_every_prefix_is_drawn(model):
    head, batch = (
        model.head["prefix_lm"],
        tiny_batch(model, {"text": [5] * 400, "image": [1] * 400}),
    )
    head.train()
    seen = head.prepare_batch(batch).inputs["text"].mask.sum(dim=1)
    counts = torch.bincount(seen, minlength=6)
    assert counts[0] == counts[5] == 0
    assert all(60 <= int(n) <= 140 for n in counts[1:5]), "four, with deviation 9 of 100 each"


def test_the_gradient_reaches_every_part(model):
    model.train()
    model(tiny_batch(model, COUNTS))["prefix_lm"].loss.backward()
    tops = {".".join(name.split(".")[:2]) for name in gradients(model)}
    assert {"encoder.text", "encoder.image", "head.prefix_lm"} <= tops


@pytest.mark.slow
def test_a_few_samples_are_learned(model):
    batch = tiny_batch(model, {"text": [6] * 3, "image": [1] * 3})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for step in range(80):
        loss = model(at_step(batch, step))["prefix_lm"].loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


def test_without_text_there_is_nothing_to_continue():
    parts = ("text", "encoder/text=transformer data.text=captions")
    with raises(ConfigError, "head.prefix_lm: ", *parts):
        tiny_model("concat", ["prefix_lm"], ["image"], ["encoder.text=null"])
