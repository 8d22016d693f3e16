"""Blocks that are compiled one by one: the same numbers and names as without."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmtx_cli.errors import ConfigError
from mmtx_cli.training.activation_checkpointing import recompute_blocks
from mmtx_cli.training.compilation import compile_model, repeated_blocks
from tests.messages import raises
from tests.tiny import tiny_model

ARGS = ["encoder.text.depth=2", "encoder.image.depth=3"]


def eager(monkeypatch):
    """Compile with a backend that needs no compiler; it still traces and guards."""
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: compile_(f, backend=backend))
    return compiled


def names_of(model):
    found = {id(module): name for name, module in model.named_modules()}
    return {found[id(block)] for block in repeated_blocks(model)}


@pytest.mark.parametrize("fusion", ["cross_attention", "film"])
def test_the_blocks_of_every_part_are_found(fusion):
    model = tiny_model(fusion, ["captioning"], args=[*ARGS, "fusion.depth=2", "decoder.depth=2"])
    names = names_of(model)
    for prefix, count in (("encoder.image.", 3), ("encoder.text.", 2), ("head.captioning.", 2)):
        assert sum(name.startswith(prefix) for name in names) == count, names
    assert any(name.startswith("fusion.") for name in names)
    assert not any(a != b and b.startswith(f"{a}.") for a in names for b in names)
    assert all(type(m).forward is not nn.Module.forward for m in repeated_blocks(model))


def test_a_model_without_blocks(monkeypatch):
    model = tiny_model("decision", modalities=("image",))
    monkeypatch.setattr(type(model.encoder["image"]), "blocks", lambda self: [])
    with raises(ConfigError, "trainer.compile=blocks: ", "trainer.compile=true"):
        compile_model(model, "blocks")


UNCHECKED = """
import torch
from tests.tiny import gradients, same, tiny_batch, tiny_model
from mmtx_cli.training.activation_checkpointing import recompute_blocks
from mmtx_cli.training.compilation import compile_model

graphs = []


def backend(graph, _):
    graphs.append(graph)
    return graph.forward


compile_ = torch.compile
torch.compile = lambda f, **_: compile_(f, backend=backend)


def trained(model, batch):
    torch.manual_seed(1)
    model.zero_grad()
    loss = sum(p.loss for p in model.train()(batch).values())
    loss.backward()
    return {"loss": loss.detach(), **gradients(model)}


args = ["encoder.text.depth=2", "encoder.image.depth=3", "encoder.image.drop_path=0.2"]
args += ["fusion.depth=2", "decoder.depth=2", "decoder.dropout=0.1"]
for recompute in (False, True):
    graphs.clear()
    model = tiny_model("cross_attention", ["captioning", "classification"], args=args)
    batch = tiny_batch(model, {"text": [4, 6, 7], "image": [1, 2, 1]})
    before, names = trained(model, batch), list(model.state_dict())
    if recompute:
        recompute_blocks(model)
    compile_model(model, "blocks")
    same(trained(model, batch), before, 1e-5)
    assert graphs, "nothing was compiled"
    # stochastic depth differs between the blocks of an encoder; the other blocks share their code
    assert len(graphs) <= 16, len(graphs)
    assert list(model.state_dict()) == names
print("same")
"""


@pytest.mark.slow
def test_losses_gradients_and_names_are_the_same():
    # in a process of its own: the compiler cannot look through the checks of shapes
    paths = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", UNCHECKED],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "same\n"


def test_a_copy_is_not_compiled(monkeypatch):
    """As the average of the weights is: it runs its own blocks."""
    eager(monkeypatch)
    model = tiny_model(args=ARGS)
    recompute_blocks(model)
    compile_model(model, "blocks")
    other = copy.deepcopy(model)
    for a, b in zip(repeated_blocks(model), repeated_blocks(other), strict=True):
        assert b.forward.__self__ is b
        assert a.forward.__self__ is a
