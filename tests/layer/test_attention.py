import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmtx_cli.layer.attention import Attention, attend
from tests.messages import raises


def naive(query, key, value, allowed):
    """Equation 1 of Vaswani et al. 2017, element by element; ``allowed`` is [b, n, m]."""
    query, key, value = (x.detach().double().numpy() for x in (query, key, value))
    out = np.zeros((*query.shape[:3], value.shape[-1]))
    for b, h, n in np.ndindex(query.shape[:3]):
        seen = [m for m in range(key.shape[2]) if allowed[b, n, m]]
        if not seen:
            continue
        scores = [query[b, h, n] @ key[b, h, m] / math.sqrt(query.shape[-1]) for m in seen]
        weights = np.exp(np.array(scores) - max(scores))
        weights /= weights.sum()
        out[b, h, n] = sum(w * value[b, h, m] for w, m in zip(weights, seen, strict=True))
    return torch.from_numpy(out)


def noise(*shape):
    return torch.randn(*shape, requires_grad=True)


MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]).bool()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_the_equation(causal, masked):
    query, key, value = noise(4, 2, 4, 8), noise(4, 2, 4, 8), noise(4, 2, 4, 8)
    mask = MASK if masked else torch.ones_like(MASK)
    allowed = mask[:, None, :].expand(4, 4, 4)
    allowed = allowed.tril() if causal else allowed
    found = attend(query, key, value, mask if masked else None, causal)
    torch.testing.assert_close(
        found.double(), naive(query, key, value, allowed), atol=1e-6, rtol=1e-5
    )
    found.sum().backward()
    assert all(x.grad.isfinite().all() for x in (query, key, value))


def test_agrees_with_torch():
    query, key, value = noise(4, 2, 3, 8), noise(4, 2, 4, 8), noise(4, 2, 4, 8)
    some = MASK.any(dim=1)
    wanted = F.scaled_dot_product_attention(query, key, value, MASK[:, None, None, :])
    found = attend(query, key, value, MASK)
    torch.testing.assert_close(found[some], wanted[some])
    weight = torch.randn_like(found[some])
    grads = [
        torch.autograd.grad((x[some] * weight).sum(), (query, key, value)) for x in (found, wanted)
    ]
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine[some], theirs[some])


@pytest.mark.parametrize("causal", [False, True])
def test_nothing_to_attend_to_gives_zeros_and_finite_gradients(causal):
    query, key, value = noise(4, 2, 4, 8), noise(4, 2, 4, 8), noise(4, 2, 4, 8)
    out = attend(query, key, value, MASK, causal)
    assert not out[3].any()
    out.square().sum().backward()
    for x in (query, key, value):
        assert x.grad.isfinite().all()
        assert not x.grad[3].any()
    assert not key.grad[1, :, 1].any()
    assert not value.grad[2, :, :3].any()


def copied(layer, other):
    """Give a torch MultiheadAttention the weights of ours."""
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key_value.weight]))
        other.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key_value.bias]))
        other.out_proj.load_state_dict(layer.out.state_dict())
    return other


@pytest.mark.parametrize("context", [False, True])
def test_the_layer_agrees_with_torchs(context):
    layer = Attention(16, 4)
    other = copied(layer, nn.MultiheadAttention(16, 4, batch_first=True))
    x = torch.randn(3, 4, 16)
    seen = torch.randn(3, 4, 16) if context else x
    found = layer(x, seen if context else None, MASK[:3])
    wanted, _ = other(x, seen, seen, key_padding_mask=~MASK[:3])
    torch.testing.assert_close(found, wanted)


def test_a_context_of_another_width():
    assert Attention(16, 4, context_dim=6)(torch.randn(2, 3, 16), torch.randn(2, 5, 6)).shape == (
        2,
        3,
        16,
    )


def test_dropout_is_for_training():
    layer, x = Attention(16, 4, dropout=0.5), torch.randn(2, 3, 16)
    layer.eval()
    torch.testing.assert_close(layer(x), layer(x))
    layer.train()
    assert not torch.equal(layer(x), layer(x))


def test_heads_share_the_width_evenly():
    with raises(ValueError, "width 16 ", "multiple", "num_heads=3"):
        Attention(16, 3)


@pytest.mark.parametrize("context_dim", [8, 12])
def test_tokens_are_read_as_their_keys_and_values(context_dim):
    attention = Attention(8, 2, context_dim=context_dim).double().eval()
    x, context = torch.randn(3, 4, 8).double(), torch.randn(3, 5, context_dim).double()
    mask = torch.arange(5) < torch.tensor([[5], [2], [0]])
    torch.testing.assert_close(
        attention.read_tokens(x, context, mask), attention.read(x, attention.keys(context), mask)
    )
