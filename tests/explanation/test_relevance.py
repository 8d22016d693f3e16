"""Derivatives of the words of a text with respect to the inputs."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.explanation.relevance import ready, token_scores, word_relevance
from mmtx_cli.fusion.decision import DecisionFusion
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.layer.context import Context
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch, ModalityInput, Tokens
from tests.tiny import BOS, EOS, tiny_batch, tiny_model

MODALITIES = ["image", "video", "audio"]


def model_and_batch(*args):
    model = tiny_model("concat", ["captioning"], MODALITIES, args)
    batch = tiny_batch(model, {"image": [1, 0], "video": [3, 2], "audio": [18, 11]})
    return model, model.head["captioning"], batch


def scores(model, head, batch, tokens, places):
    with torch.no_grad(), ready(model):
        found = token_scores(model, head, batch, tokens, rollout=False)
    return torch.stack([found[i, own[0]].sum() for i, own in enumerate(places)])


def test_gradients_are_differences_of_the_log_probability():
    """A part of a picture is moved a little away from the mean color, and towards it."""
    model, head, batch = model_and_batch()
    batch = replace(
        batch,
        inputs={
            name: replace(x, data=x.data.float() / (255 if name != "audio" else 1))
            for name, x in batch.inputs.items()
        },
    )
    model, batch = model.double(), batch.map(lambda x: x.double() if x.is_floating_point() else x)
    tokens = torch.tensor([[7, 8, 9, EOS], [6, 6, EOS, EOS]])
    places = [[[0, 1], [2]], [[0], [1]]]
    found = next(word_relevance(model, head, batch, tokens, places, "gradient"))
    step = 1e-6
    for sample, name, frame in [(0, "image", 0), (0, "video", 1), (1, "video", 1)]:
        field = batch.inputs[name]
        x = field.data[sample, frame]
        direction = torch.zeros_like(field.data)
        place = (slice(None), slice(16, 32), slice(8, 24))
        centered = x - x.mean(dim=(1, 2), keepdim=True)
        direction[sample, frame][place] = centered[place]
        change = [
            scores(
                model, head,
                replace(batch, inputs={
                    **batch.inputs, name: replace(field, data=field.data + sign * direction)
                }),
                tokens, places,
            )[sample]
            for sign in (step, -step)
        ]  # fmt: skip
        derivative = ((change[0] - change[1]) / (2 * step)).item()
        own = signed(model, head, batch, tokens, places, name)[sample, frame][place[1:]]
        assert own.sum().item() == pytest.approx(derivative, rel=1e-5, abs=1e-9)
        torch.testing.assert_close(found[name][sample, frame][place[1:]], own.abs())


def signed(model, head, batch, tokens, places, name):
    """Input less its mean, times its derivative, summed over the colors: for the first words."""
    x = batch.inputs[name].data.clone().requires_grad_()
    inputs = {**batch.inputs, name: replace(batch.inputs[name], data=x)}
    found = token_scores(model, head, replace(batch, inputs=inputs), tokens, rollout=False)
    total = sum(found[i, own[0]].sum() for i, own in enumerate(places))
    (gradient,) = torch.autograd.grad(total, x)
    centered = x.detach() - x.detach().mean(dim=(-2, -1), keepdim=True)
    return (gradient * centered).sum(dim=2)


class Corners(Encoder):
    """One token: the mean brightness of four quarters of a picture."""

    width = 4

    def forward(self, field):
        gray = field.data.mean(dim=2).unflatten(3, (2, -1)).unflatten(2, (2, -1))
        return Tokens(gray.mean(dim=(3, 5)).flatten(2), field.mask)


class Chooser(nn.Module):
    """Logits that are linear in the token: word i depends on quarter i alone."""

    max_length, reads_raw, reads_summary = 8, False, False

    def forward(self, tokens, context: Context):
        return context.x[:, :1].expand(-1, tokens.shape[1], -1)

    def logits(self, hidden):
        return hidden


def test_a_linear_model_is_explained_exactly():
    head = CaptioningHead(4, ["image"], BOS, 3, lambda _: Chooser(), max_length=8)
    model = MultimodalModel(
        4, {"image": Corners()}, DecisionFusion(4, ["image"]), {"captioning": head}
    )
    with torch.no_grad():
        model.project["image"].weight.copy_(torch.eye(4))
        model.project["image"].bias.zero_()
    pixels = torch.rand(1, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = Batch({"image": ModalityInput(pixels, torch.ones(1, 1, dtype=torch.bool))}, {}, ["a"])
    tokens = torch.tensor([[0, 1, 2, 0]])
    found = list(word_relevance(model, head, batch, tokens, [[[0], [1, 2]]], "gradient"))
    quarters = Corners()(batch.inputs["image"]).x[0, 0]
    probability = quarters.softmax(dim=0)
    for words, relevance in zip([[0], [1, 2]], found, strict=True):
        # d log p(i) / d z = e_i - p; each of the 16 pixels and 3 colors has a 48th of the weight
        slope = sum(torch.eye(4)[word] - probability for word in words) / 48
        centered = pixels - pixels.mean(dim=(-2, -1), keepdim=True)
        weight = slope.view(2, 2).repeat_interleave(4, 0).repeat_interleave(4, 1)
        wanted = (centered * weight).sum(dim=2).abs()
        torch.testing.assert_close(relevance["image"], wanted)


@pytest.mark.parametrize("method", ["gradient", "rollout"])
def test_the_model_stays_as_it_was(method):
    model, head, batch = model_and_batch("+head.captioning.weight=2")
    model.train()
    for i, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(i % 2 == 0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    tokens = torch.tensor([[7, EOS], [6, EOS]])
    list(word_relevance(model, head, batch, tokens, [[[0]], [[0]]], method))
    assert model.training
    assert [p.requires_grad for p in model.parameters()] == [
        i % 2 == 0 for i, _ in enumerate(model.parameters())
    ]
    assert all(p.grad is None for p in model.parameters())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    for name, x in model.state_dict().items():
        assert torch.equal(x, before[name])
