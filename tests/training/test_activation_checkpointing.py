"""Activations computed anew: the same numbers, less memory."""

import copy

import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.training.activation_checkpointing import recompute_blocks
from tests.decoders import KINDS
from tests.messages import raises
from tests.tiny import gradients, same, tiny_batch, tiny_model

COUNTS = {"text": [4, 6, 7], "image": [1, 2, 1]}
ARGS = ["encoder.text.dropout=0.3", "encoder.image.dropout=0.3", "encoder.image.depth=3"]


def trained_once(model, batch):
    torch.manual_seed(1)
    model.zero_grad()
    loss = model.train()(batch)["classification"].loss
    loss.backward()
    return loss.detach(), {name: g.clone() for name, g in gradients(model).items()}


def kept(model, batch):
    """Numbers that the graph holds on to."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: sizes.append(x.numel()) or x, lambda x: x
    ):
        model.train()(batch)["classification"].loss.backward()
    return sum(sizes)


def test_loss_and_gradients_are_the_same():
    model = tiny_model(args=ARGS).double()
    batch = tiny_batch(model, COUNTS)
    before, memory = trained_once(model, batch), kept(model, batch)
    names = list(model.state_dict())
    recompute_blocks(model)
    torch.testing.assert_close(trained_once(model, batch), before, atol=1e-12, rtol=1e-10)
    assert list(model.state_dict()) == names
    assert kept(model, batch) < 0.9 * memory


@pytest.mark.parametrize("args", KINDS)
def test_decoders(args):
    args = [*args, "generation.num_beams=1"]
    model = tiny_model("concat", ["captioning"], args=args).double().train()
    for parameter in model.encoder.parameters():
        parameter.requires_grad_(False)
    batch = tiny_batch(model, COUNTS)

    def trained():
        model.zero_grad()
        loss = model(batch)["captioning"].loss
        loss.backward()
        return {"loss": loss.detach(), **gradients(model)}

    before = trained()
    recompute_blocks(model)
    same(trained(), before, 1e-6)


def test_a_copy_runs_its_own_blocks():
    model = tiny_model(args=ARGS)
    recompute_blocks(model)
    batch = tiny_batch(model, COUNTS)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.encoder["image"].parameters():
            parameter.add_(1.0)
    predicted = [m.eval().predict(batch)["classification"]["logits"] for m in (model, other)]
    assert not torch.allclose(*predicted)


def test_a_model_without_blocks(monkeypatch):
    model = tiny_model(modalities=("image",))
    monkeypatch.setattr(type(model.encoder["image"]), "blocks", lambda self: [])
    with raises(ConfigError, "trainer.activation_checkpointing: ", "encoder", "blocks"):
        recompute_blocks(model)
