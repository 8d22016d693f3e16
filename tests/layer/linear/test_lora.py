import copy

import torch
from torch import nn

from mmtx_cli.layer.linear.lora import LoraLinear, add_lora
from mmtx_cli.layer.transformer import Block
from tests.messages import raises


def adapted(rank=3):
    torch.manual_seed(1)
    block = Block(8, 2).eval()
    return copy.deepcopy(block), block, add_lora([block], rank)


def test_it_starts_as_what_it_adapts():
    base, block, _ = adapted()
    x = torch.randn(2, 5, 8)
    assert torch.equal(block(x), base(x))


def test_the_update_is_of_low_rank():
    base = nn.Linear(6, 4)
    layer = LoraLinear(base, rank=2)
    nn.init.normal_(layer.up.weight)
    x = torch.randn(5, 6)
    A, B = layer.down.weight, layer.up.weight
    assert A.shape == (2, 6)
    assert B.shape == (4, 2)
    whole = base.weight + 16 / 2 * B @ A
    torch.testing.assert_close(layer(x), x @ whole.T + base.bias)
    assert torch.linalg.matrix_rank(whole - base.weight) == 2


def test_only_the_projections_of_attentions():
    _, block, new = adapted(rank=3)
    kinds = {name: isinstance(m, LoraLinear) for name, m in block.named_modules()}
    assert {name for name, is_lora in kinds.items() if is_lora} == {
        "attention.query",
        "attention.key_value",
        "attention.out",
    }
    assert sum(x.numel() for x in new) == 3 * (8 + 8) + 3 * (8 + 16) + 3 * (8 + 8)


def test_training_moves_the_adapters_alone():
    base, block, new = adapted()
    block.requires_grad_(False)
    for parameter in new:
        parameter.requires_grad_(True)
    x = torch.randn(2, 5, 8)
    optimizer = torch.optim.SGD([p for p in block.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # B is zero, so that A only gets a gradient from the second step on
        optimizer.zero_grad()
        block(x).square().sum().backward()
        optimizer.step()
    assert all(parameter.grad.any() for parameter in new)
    state = block.state_dict()
    for name, value in base.state_dict().items():
        assert torch.equal(state[name], value)
    assert not torch.allclose(block(x), base(x), atol=1e-3)


def test_names_of_the_weights_stay_so_that_states_go_both_ways():
    base, block, new = adapted()
    nn.init.normal_(new[1])
    _, again, _ = adapted()
    again.load_state_dict(block.state_dict())
    x = torch.randn(1, 4, 8)
    assert torch.equal(again(x), block(x))
    added = {
        f"attention.{name}.{part}.weight"
        for name in ("query", "key_value", "out")
        for part in ("down", "up")
    }
    assert block.state_dict().keys() - base.state_dict().keys() == added
    base.load_state_dict({k: v for k, v in block.state_dict().items() if k not in added})


def test_what_it_refuses():
    with raises(ValueError, "lora=2: ", "linear projections"):
        add_lora([nn.Sequential(nn.Linear(2, 2))], 2)
    with raises(ValueError, "lora=-1: ", "rank", " 0"):
        add_lora([Block(8, 2)], -1)
