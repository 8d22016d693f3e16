"""The captioning head that says answers keeps the promises of every head."""

import pytest
import torch

from mmtx_cli.types import Batch
from tests.tiny import FUSIONS, composed, noisy_where_absent, same, tiny_batch, tiny_model

ANSWERS = ("head.captioning.target=answers",)
MIXED = {"text": [4, 0, 7, 0, 2], "image": [1, 2, 0, 0, 1]}
"""Both, one of each, none, both again."""


@pytest.fixture(scope="module", params=FUSIONS)
def model(request):
    return tiny_model(request.param, ["captioning"], args=ANSWERS)


def test_the_configuration_reaches_it(model):
    assert composed(*ANSWERS, "head=captioning")["head"]["captioning"]["target"] == "answers"
    assert model.head["captioning"].targets == ("answer_text",)


def test_any_subset_of_the_modalities(model):
    batch = tiny_batch(model, MIXED)
    assert batch.targets.keys() == {"answer_text"}
    for training in (True, False):
        prediction = model.train(training)(batch)["captioning"]
        assert prediction.loss.isfinite()
    assert model(Batch(batch.inputs, {}, batch.ids))["captioning"].loss is None
    outputs = model.eval().predict(batch)["captioning"]
    assert {len(x) for x in outputs.values()} == {len(batch)}


def test_what_is_not_real_changes_no_answer(model):
    clean = tiny_batch(model, MIXED)
    inputs = {name: noisy_where_absent(field) for name, field in clean.inputs.items()}
    noisy = Batch(inputs, clean.targets, clean.ids)
    same(model.eval().predict(noisy), model.predict(clean))


@pytest.mark.parametrize("fusion", ["concat", "decision"])
def test_answers_and_captions_are_learned_side_by_side(fusion):
    """Two heads of one model, each with a target of its own."""
    model = tiny_model(fusion, ["captioning", "vqa"], args=ANSWERS).train()
    batch = tiny_batch(model, {"text": [4, 6, 7, 3], "image": [1, 1, 1, 1]}, seed=1)
    assert batch.targets.keys() == {"answer_text", "answers"}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        every = [prediction.loss for prediction in model(batch).values()]
        sum(every).backward()
        optimizer.step()
        losses.append([float(loss.detach()) for loss in every])
    assert all(last < 0.2 * first for first, last in zip(losses[0], losses[-1], strict=True))
