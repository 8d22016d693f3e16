"""Masked language modeling."""

from dataclasses import replace

import pytest
import torch

from mmtx_cli.types import IGNORE_INDEX, Batch, ModalityInput
from tests.tiny import BOS, EOS, LENGTH, VOCAB, at_step, same, tiny_batch, tiny_model

SPECIAL, MASK = [0, 1, BOS, EOS, 4], 4
COUNTS = {"text": [10, 3, 0, 7], "image": [1, 1, 1, 0]}


def made(*args, counts=COUNTS, fusion="decision"):
    ratio = [] if any("mask_ratio" in arg for arg in args) else ["head.masked_lm.mask_ratio=0.4"]
    model = tiny_model(fusion, ["masked_lm"], args=[*ratio, *args])
    batch = tiny_batch(model, counts)
    data = batch.inputs["text"].data
    data[:, 0] = BOS
    return model, model.head["masked_lm"], batch


def test_how_many_are_hidden_and_as_what():
    _, head, _ = made("head.masked_lm.mask_ratio=0.15")
    random = torch.Generator().manual_seed(0)
    data = torch.randint(5, VOCAB, (400, 100), generator=random)
    field = ModalityInput(data, torch.ones_like(data, dtype=torch.bool))
    batch = Batch({"text": field}, ids=[str(i) for i in range(400)])
    view = head.train().prepare_batch(batch)
    scored = view.targets["tokens"] != IGNORE_INDEX
    assert (scored.sum(dim=1) == 15).all()
    index = view.targets["index"]
    now, before = view.inputs["text"].data.gather(1, index), data.gather(1, index)
    assert (before == view.targets["tokens"]).all()
    share = [(now == MASK).float().mean(), (now == before).float().mean()]
    others = ((now != MASK) & (now != before)).float().mean()
    torch.testing.assert_close(share[0], torch.tensor(0.8 + 0.1 * 5 / 30), atol=0.02, rtol=0)
    torch.testing.assert_close(share[1], torch.tensor(0.1), atol=0.02, rtol=0)
    assert 0.05 < others < 0.1
    changed = view.inputs["text"].data != data
    assert (changed.sum(dim=1) <= 15).all()


def test_special_tokens_and_padding_are_never_hidden():
    _, head, batch = made("head.masked_lm.mask_ratio=0.9")
    for step in range(10):
        view = head.train().prepare_batch(at_step(batch, step))
        tokens, index = view.targets["tokens"], view.targets["index"]
        scored = tokens != IGNORE_INDEX
        assert not torch.isin(tokens[scored], torch.tensor(SPECIAL)).any()
        assert batch.inputs["text"].mask.gather(1, index)[scored].all()
        assert scored.any(dim=1).tolist() == [True, True, False, True]


@pytest.mark.parametrize("reads", ["text", "fused"])
def test_the_loss_is_the_surprise_of_what_is_hidden(reads):
    model, head, batch = made(f"head.masked_lm.streams=[{reads}]", fusion="concat")
    model.double()
    view = head.prepare_batch(batch)
    prediction = head(model.streams(view, head.streams, {}), view)
    total, count = 0.0, 0
    for i, row in enumerate(view.targets["tokens"].tolist()):
        for j, token in enumerate(row):
            if token != IGNORE_INDEX:
                logits = prediction.outputs["logits"][i, j]
                total += (logits.exp().sum().log() - logits[token]).item()
                count += 1
    assert prediction.outputs["count"].item() == count
    assert prediction.loss.item() == pytest.approx(total / count, rel=1e-9)


@pytest.mark.parametrize("reads", ["text", "fused"])
def test_what_is_hidden_is_not_seen(reads):
    """Another word behind the mask changes no prediction."""
    model, head, batch = made(f"head.masked_lm.streams=[{reads}]", fusion="concat")
    view = head.prepare_batch(batch)
    index, scored = view.targets["index"], view.targets["tokens"] != IGNORE_INDEX
    hidden = scored & (view.inputs["text"].data.gather(1, index) == MASK)
    assert hidden.any()
    data = batch.inputs["text"].data
    words = torch.where(
        hidden, 5 + (data.gather(1, index) - 4) % (VOCAB - 5), data.gather(1, index)
    )
    other = data.scatter(1, index, words)
    assert (other != data).any()
    changed = replace(
        batch, inputs={**batch.inputs, "text": replace(batch.inputs["text"], data=other)}
    )
    views = view, head.prepare_batch(changed)
    outputs = [head(model.streams(v, head.streams, {}), v).outputs["logits"] for v in views]
    same(outputs[1], outputs[0])


@pytest.mark.slow
def test_learns_a_text_by_heart():
    model, _, _ = made()
    text = torch.tensor([[BOS, 5, 6, 7, 8, 9, 10, 11, 12, EOS]] * 8)
    batch = tiny_batch(model, {"text": [LENGTH] * 8, "image": [1] * 8})
    batch = replace(
        batch, inputs={**batch.inputs, "text": ModalityInput(text, torch.ones_like(text) > 0)}
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for step in range(120):
        optimizer.zero_grad()
        loss = model.train()(at_step(batch, step))["masked_lm"].loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
