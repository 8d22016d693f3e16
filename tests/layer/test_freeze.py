import pytest
import torch
from torch import nn

from mmtx_cli.layer.freeze import Freezable, freeze_first, reached_parameters, stem_before
from tests.messages import raises


class Body(nn.Module):
    """Registered in another order than it is passed, with parameters of its own."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.stack = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)) for _ in "123")
        self.embedding = nn.Sequential(nn.Linear(4, 4))
        self.token = nn.Parameter(torch.randn(4))
        self.pooler = nn.Linear(4, 4)

    def forward(self, x):
        x = self.embedding[0](x) + self.token  # past the branch itself, as some libraries do
        for block in self.stack:
            x = block(x)
        return self.norm(x)


class Holder(Freezable):
    def __init__(self, freeze):
        super().__init__()
        self.body = Body()
        with stem_before(self.body, self.body.stack[0]) as stem:
            self.body(torch.zeros(1, 4))
        self.parts = (stem, *self.body.stack)
        self.frozen = freeze_first(self.body, self.parts, freeze)


def names(module, parts):
    wanted = {id(p) for part in parts for p in part.parameters()}
    return {name for name, p in module.named_parameters() if id(p) in wanted}


def test_the_stem_is_what_is_passed_before_the_first_block():
    holder = Holder(False)
    assert names(holder.body, [holder.parts[0]]) == {
        "token",
        "embedding.0.weight",
        "embedding.0.bias",
    }
    assert not any(module._forward_pre_hooks for module in holder.modules())


@pytest.mark.parametrize(
    ("freeze", "still"),
    [
        (False, set()),
        (0, set()),
        (1, {"embedding", "token", "stack.0"}),
        (2, {"embedding", "token", "stack.0", "stack.1"}),
        (3, {"embedding", "token", "stack"}),
        (True, {"embedding", "token", "stack", "norm", "pooler"}),
    ],
)
def test_what_freeze_means(freeze, still):
    holder = Holder(freeze).train()
    for name, parameter in holder.body.named_parameters():
        frozen = any(name == part or name.startswith(f"{part}.") for part in still)
        assert parameter.requires_grad != frozen, name
    dropouts = [block[1].training for block in holder.body.stack]
    count = 3 if freeze is True else int(freeze)
    assert dropouts == [False] * count + [True] * (3 - count)
    assert not any(module.training for module in holder.eval().modules())


def test_what_is_frozen_builds_no_graph():
    seen = {}
    holder = Holder(2)
    for i, block in enumerate(holder.body.stack):
        block.register_forward_hook(lambda m, a, out, i=i: seen.update({i: out.requires_grad}))
    holder.train().body(torch.randn(2, 4))
    assert seen == {0: False, 1: False, 2: True}
    assert not Holder(True).body(torch.randn(2, 4)).requires_grad


def test_what_it_refuses():
    with raises(ValueError, "freeze=4: ", " 3 blocks", " 0 to 3"):
        Holder(4)
    with raises(ValueError, "freeze=-1: ", " 3 blocks"):
        Holder(-1)
    with raises(ValueError, "freeze=1: ", "blocks", "true or false"):
        freeze_first(nn.Linear(2, 2), [], 1)


def test_parameters_that_an_output_depends_on():
    body = Body().eval()
    body.stack[1][0].bias.requires_grad_(False)
    reached = reached_parameters(body(torch.randn(2, 4)))
    assert {name for name, p in body.named_parameters() if id(p) not in reached} == {
        "pooler.weight",
        "pooler.bias",
        "stack.1.0.bias",
    }
    assert reached_parameters(torch.zeros(1)) == set()
