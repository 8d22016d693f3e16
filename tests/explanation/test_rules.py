"""Attention rollout by derivatives equals the product of attention matrices."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmtx_cli.decoder.transformer import TransformerDecoder
from mmtx_cli.explanation.rules import rollout_rules
from mmtx_cli.fusion.bottleneck import BottleneckFusion
from mmtx_cli.fusion.concat import ConcatFusion
from mmtx_cli.fusion.perceiver import PerceiverFusion
from mmtx_cli.layer.attention import Attention
from mmtx_cli.layer.context import Context
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import FUSED, Tokens

DIM, HEADS = 12, 3


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def matrix(attention, x, context=None, mask=None, causal=False):
    """Attention weights of one sample by the definition, averaged over the heads."""
    x, context = (y[0].detach().numpy() for y in (x, x if context is None else context))
    weight, bias = (p.detach().numpy() for p in attention.query.parameters())
    query = x @ weight.T + bias
    weight, bias = (p.detach().numpy()[:DIM] for p in attention.key_value.parameters())
    key = context @ weight.T + bias
    found = []
    for head in np.split(np.arange(DIM), HEADS):
        scores = query[:, head] @ key[:, head].T / np.sqrt(DIM / HEADS)
        if mask is not None:
            scores = np.where(mask[0].numpy(), scores, -np.inf)
        if causal:
            scores = np.where(np.tri(len(scores), dtype=bool), scores, -np.inf)
        found.append(softmax(scores))
    return np.mean(found, axis=0)


def with_identity(weights):
    return (weights + np.eye(len(weights))) / 2


class Seen:
    """The arguments of the calls of every attention layer, in their order."""

    def __init__(self, module):
        self.calls = []
        for part in module.modules():
            if isinstance(part, Attention):
                part.register_forward_hook(self.hook, with_kwargs=True)

    def hook(self, module, args, kwargs, output):
        self.calls.append(matrix(module, *args, **kwargs))


def rollout(function, x, channels=DIM):
    """The relevance of each input token for each output token, by derivatives."""
    x = x.clone().requires_grad_()
    y = function(x)
    rows = [
        torch.autograd.grad(y[0, i].mean(), x, retain_graph=True)[0][0].sum(dim=1)
        for i in range(y.shape[1])
    ]
    return torch.stack(rows).numpy()


def prepared(module):
    """Weights large enough that the attention is far from uniform."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return module.double().eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_an_encoder():
    module = prepared(Transformer(DIM, 3, HEADS))
    x, mask = torch.randn(1, 6, DIM).double(), torch.tensor([[True] * 5 + [False]])
    seen = Seen(module)
    with rollout_rules(module):
        found = rollout(lambda x: module(x, mask), x)
    a, b, c = map(with_identity, seen.calls)
    close(found, c @ b @ a)
    assert not found[:5, 5].any()
    close(found.sum(axis=1), 1)
    assert found.std(axis=0).max() > 0.01


def test_a_decoder_on_a_fusion():
    fusion = prepared(ConcatFusion(DIM, ["image", "text"], depth=2, num_heads=HEADS))
    decoder = prepared(TransformerDecoder(20, DIM, 8, depth=2, num_heads=HEADS))
    x = torch.randn(1, 7, DIM).double()
    mask = torch.tensor([[True, True, False, True, True, True, True]])
    texts = torch.randint(5, 20, (1, 5))
    model = nn.ModuleList([fusion, decoder])
    seen = Seen(model)

    def written(x):
        streams = {"image": Tokens(x[:, :4], mask[:, :4]), "text": Tokens(x[:, 4:], mask[:, 4:])}
        fused = fusion(streams)[FUSED]
        return decoder(texts, Context(fused.x, fused.mask))

    with rollout_rules(model):
        found = rollout(written, x)
    first, second, *layers = seen.calls
    context = with_identity(second) @ with_identity(first)
    own, cross, own_again, cross_again = layers
    del own  # before the first cross-attention, the text has nothing of the inputs
    relevance = cross @ context
    relevance = (with_identity(own_again) @ relevance + cross_again @ context) / 2
    relevance[:, 2] = 0  # the fusion sets masked tokens to zero
    close(found, relevance)
    assert found.std(axis=0).max() > 0.01


def test_latents_read_all_modalities():
    fusion = prepared(PerceiverFusion(DIM, ["audio", "image"], 3, depth=2, num_heads=HEADS))
    x = torch.randn(1, 5, DIM).double()
    mask = torch.ones(1, 5, dtype=torch.bool)
    seen = Seen(fusion)
    with rollout_rules(fusion):
        found = rollout(
            lambda x: (
                fusion(
                    {"audio": Tokens(x[:, :2], mask[:, :2]), "image": Tokens(x[:, 2:], mask[:, 2:])}
                )[FUSED].x
            ),
            x,
        )
    read, own, again, last = seen.calls
    # of the first reading half is left: the latents are learned; both halves are kept by the block
    first = with_identity(own) @ read
    close(found, with_identity(last) @ ((first + again) / 2))


def test_nothing_is_gained_and_what_learned_tokens_get_is_lost():
    fusion = prepared(BottleneckFusion(DIM, ["audio", "image"], 2, 2, HEADS))
    x, mask = torch.randn(1, 5, DIM).double(), torch.ones(1, 5, dtype=torch.bool)
    with rollout_rules(fusion):
        found = rollout(
            lambda x: (
                fusion(
                    {"audio": Tokens(x[:, :2], mask[:, :2]), "image": Tokens(x[:, 2:], mask[:, 2:])}
                )[FUSED].x
            ),
            x,
        )
    assert (found >= 0).all()
    totals = found.sum(axis=1)
    assert (totals < 1).all()
    assert (totals > 0.1).all()


def test_every_layer_computes_what_it_did():
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True),
        nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.GroupNorm(2, 6), nn.SiLU(), nn.Flatten(2),
    ).double().eval()  # fmt: skip
    attention = nn.MultiheadAttention(6, 2, batch_first=True).double().eval()

    def network(x):
        tokens = layers(x).mT
        mixed, _ = attention(tokens, tokens, tokens, need_weights=False)
        mixed = tokens + mixed - tokens.mean(dim=1, keepdim=True) / 3
        return (mixed * mixed.sigmoid()) @ torch.ones(6, 2).double() / mixed.norm()

    x = torch.randn(2, 3, 8, 8).double().requires_grad_()
    wanted = network(x)
    with rollout_rules(layers):
        found = network(x)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_convolution_shares_over_its_receptive_field():
    layer = nn.Conv2d(3, 4, 3, stride=2).double().requires_grad_(False)
    x = torch.randn(1, 3, 7, 7).double().requires_grad_()
    with rollout_rules(layer):
        y = layer(x)
    (found,) = torch.autograd.grad(y[0, :, 1, 2].mean(), x)
    wanted = torch.zeros(7, 7).double()
    wanted[2:5, 4:7] = 1 / 9
    torch.testing.assert_close(found[0].sum(dim=0), wanted)


def test_attention_of_torch_and_ours_agree():
    ours = prepared(Attention(DIM, HEADS))
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True).double().eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(1, 5, DIM).double()
    with rollout_rules(theirs):
        close(rollout(lambda x: theirs(x, x, x)[0], x), rollout(ours, x))
    with rollout_rules(ours):
        weights = matrix(ours, x)
        close(rollout(ours, x), weights)
    assert not np.allclose(weights, F.softmax(torch.zeros(5), dim=0).numpy(), atol=0.05)


def test_a_norm_written_out_passes_relevance_on():
    transformers = pytest.importorskip("transformers")
    norm = transformers.models.llama.modeling_llama.LlamaRMSNorm(DIM).double()
    x = torch.randn(1, 4, DIM).double()
    with rollout_rules(norm):
        close(rollout(norm, x), np.eye(4))
