"""Contrastive losses in pieces against all logits at once, and in double precision."""

import pytest
import torch
from torch.nn import functional as F

from mmtx_cli.layer import alignment

Q, K, D = 23, 31, 7


def given(dtype=torch.float64, seed=0):
    random = torch.Generator().manual_seed(seed)
    queries = F.normalize(torch.randn(Q, D, generator=random, dtype=dtype), dim=1)
    keys = F.normalize(torch.randn(K, D, generator=random, dtype=dtype), dim=1)
    partner = torch.randperm(K, generator=random)[:Q]
    there = torch.rand(K, generator=random) < 0.8
    asks = there[partner] & (torch.rand(Q, generator=random) < 0.8)
    leaves = [
        x.requires_grad_()
        for x in (queries, keys, torch.tensor(9.0, dtype=dtype), torch.tensor(-3.0, dtype=dtype))
    ]
    return leaves, (partner, asks, there)


def whole_infonce(queries, keys, scale, bias, partner, asks, there):
    logits = (scale * queries @ keys.T).masked_fill(~there, -torch.inf)
    return F.cross_entropy(logits[asks], partner[asks], reduction="sum")


def whole_sigmoid(queries, keys, scale, bias, partner, asks, there):
    z = scale * queries @ keys.T + bias
    sign = -torch.ones_like(z)
    sign[torch.arange(Q), partner] = 1
    return -F.logsigmoid(sign * z)[asks][:, there].sum()


@pytest.mark.parametrize("form", ["infonce", "sigmoid"])
@pytest.mark.parametrize("piece", [1, 100, 10**6])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loss_and_gradients_are_those_of_all_logits(monkeypatch, form, piece, dtype):
    monkeypatch.setitem(alignment.PIECE, "cpu", piece)
    leaves, rest = given(dtype)
    if form == "infonce":
        found, wanted = alignment.infonce(*leaves[:3], *rest), whole_infonce(*leaves, *rest)
        leaves = leaves[:3]
    else:
        found, wanted = alignment.sigmoid(*leaves, *rest), whole_sigmoid(*leaves, *rest)
    slack = 1e-10 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(found, wanted, atol=slack, rtol=slack)
    mine, theirs = (torch.autograd.grad(3 * x, leaves) for x in (found, wanted))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=slack, rtol=slack)


@pytest.mark.parametrize("form", ["infonce", "sigmoid"])
def test_gradients_by_finite_differences(form):
    (*three, bias), rest = given()
    if form == "infonce":
        assert torch.autograd.gradcheck(lambda *x: alignment.infonce(*x, *rest), three)
    else:
        assert torch.autograd.gradcheck(lambda *x: alignment.sigmoid(*x, *rest), [*three, bias])


def test_nobody_asks():
    leaves, (partner, asks, there) = given()
    nobody = torch.zeros_like(asks)
    for loss in (
        alignment.infonce(*leaves[:3], partner, nobody, torch.zeros_like(there)),
        alignment.sigmoid(*leaves, partner, nobody, there),
    ):
        assert loss.item() == 0
        loss.backward()
    assert all(not x.grad.any() for x in leaves)


@pytest.mark.parametrize("piece", [1 << 20])
def test_memory_is_linear_in_the_batch(piece):
    """No tensor of all pairs is held: the largest one is a piece, or the embeddings."""
    sizes = []
    count = 4096
    leaves = [torch.randn(count, 8, requires_grad=True) for _ in range(2)]
    scale, rows = torch.tensor(1.0), torch.arange(count)
    every = torch.ones(count, dtype=torch.bool)

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            sizes.append(made.numel() if isinstance(made, torch.Tensor) else 0)
            return made

    with Watch():
        alignment.infonce(*leaves, scale, rows, every, every).backward()
    assert max(sizes) <= piece
    assert leaves[0].grad.any()
