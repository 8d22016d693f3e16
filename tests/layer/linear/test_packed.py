"""Packed weights give the products of the layers that they replace."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmtx_cli.layer.linear import packed
from mmtx_cli.layer.linear.packed import PackedLinear, PackedWeight, TiedEmbedding, pack

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch without oneDNN"
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    width=st.integers(1, 70),
    out=st.integers(1, 70),
    has_bias=st.booleans(),
    strided=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_products_are_those_of_float64(rows, width, out, has_bias, strided, seed):
    torch.manual_seed(seed)
    layer = nn.Linear(width, out, bias=has_bias)
    x = torch.randn(*rows, width)
    if strided:
        x = x.transpose(0, -1).contiguous().transpose(0, -1)
    with torch.no_grad():
        found = PackedLinear(layer)(x)
        expected = copy.deepcopy(layer).double()(x.double())
    scale = (x.double().abs() @ layer.weight.double().abs().T).max() + 1
    assert found.shape == expected.shape
    assert (found.double() - expected).abs().max() <= 1e-6 * scale


class Shared(nn.Module):
    """A layer in two places, an embedding that is tied, and layers that stay as they are."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = self.first
        self.low = nn.Linear(6, 6, dtype=torch.bfloat16)
        self.plain = nn.Embedding(5, 6)
        self.tied = TiedEmbedding(5, 6)


def test_a_model_keeps_its_parameters_and_their_names():
    model = Shared()
    names, weights = list(model.state_dict()), model.state_dict()
    embedding = model.tied.weight
    pack(model)
    assert list(model.state_dict()) == names
    assert all(torch.equal(x, weights[name]) for name, x in model.state_dict().items())
    assert model.tied.weight is embedding
    assert isinstance(model.first, PackedLinear)
    assert model.first is model.second
    assert type(model.low) is nn.Linear
    hidden = torch.randn(3, 2, 6)
    with torch.no_grad():
        assert model.tied.packed is not None
        torch.testing.assert_close(model.tied.logits(hidden), hidden @ embedding.T)
        assert torch.equal(model.tied(torch.tensor([1])), embedding[1:2])


@pytest.mark.parametrize("kind", ["gradient", "autocast", "bfloat16", "empty", "vector"])
def test_what_it_cannot_compute_is_computed_by_torch(kind):
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    if kind == "bfloat16":
        layer, x = layer.bfloat16(), x.bfloat16()
    if kind in ("empty", "vector"):
        x = x[:0] if kind == "empty" else x[0]
    replaced = PackedLinear(layer) if kind != "bfloat16" else layer
    with (
        torch.set_grad_enabled(kind == "gradient"),
        torch.autocast("cpu", enabled=kind == "autocast"),
    ):
        found, expected = replaced(x), layer(x)
    assert torch.equal(found, expected)
    assert found.dtype == expected.dtype
    if kind == "gradient":
        found.sum().backward()
        assert layer.weight.grad is not None


def test_large_models_are_not_copied(monkeypatch):
    monkeypatch.setattr(packed, "MAX_BYTES", 4 * 6 * 6)
    model = Shared()
    pack(model)
    assert type(model.first) is nn.Linear
    assert model.tied.packed is None


def test_a_packed_weight_is_a_copy():
    weight = torch.randn(3, 4)
    product = PackedWeight(weight).product(torch.ones(2, 4), None)
    torch.testing.assert_close(product, torch.ones(2, 4) @ weight.T)
