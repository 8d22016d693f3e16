"""Contrastive losses in pieces against all logits at once, and in double precision."""

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch.nn import functional as F

from mmtx_cli.layer import contrastive_loss

FORMS = ["infonce", "sigmoid"]


def inputs(q=23, k=31, kept=0.8, dtype=torch.float64, seed=0):
    """Queries and keys, of which those alone count that have a partner that is there, too."""
    random = torch.Generator().manual_seed(seed)
    queries = F.normalize(torch.randn(q, 7, generator=random, dtype=torch.float64), dim=1)
    keys = F.normalize(torch.randn(k, 7, generator=random, dtype=torch.float64), dim=1)
    partner = torch.randperm(k, generator=random)[:q]
    asks = torch.rand(q, generator=random) < kept
    there = torch.zeros(k, dtype=torch.bool)
    there[partner[asks]] = True
    leaves = [queries, keys, torch.tensor(9.0), torch.tensor(-3.0)]
    return [x.to(dtype).requires_grad_() for x in leaves], (partner, asks, there)


def whole_infonce(queries, keys, scale, bias, partner, asks, there):
    """The logits of the pairs alone, in their order: cross-entropy of rows and columns."""
    logits = scale * queries[asks] @ keys[partner[asks]].T
    own = torch.arange(len(logits))
    ways = [F.cross_entropy(z, own, reduction="sum") for z in (logits, logits.T)]
    return sum(ways) / 2 + 0 * (queries.sum() + keys.sum() + bias)


def whole_sigmoid(queries, keys, scale, bias, partner, asks, there):
    z = scale * queries @ keys.T + bias
    sign = -torch.ones_like(z)
    sign[torch.arange(len(queries)), partner] = 1
    return -F.logsigmoid(sign * z)[asks][:, there].sum()


def agree(form, leaves, wanted_leaves, rest, slack):
    """Loss and gradients, those of 3 times the loss, in pieces and of all logits."""
    size = 3 if form == "infonce" else 4
    found = getattr(contrastive_loss, form)(*leaves[:size], *rest)
    wanted = (whole_infonce if form == "infonce" else whole_sigmoid)(*wanted_leaves, *rest)
    torch.testing.assert_close(found.double(), wanted, atol=slack, rtol=slack)
    mine = torch.autograd.grad(3 * found, leaves[:size])
    theirs = torch.autograd.grad(3 * wanted, wanted_leaves[:size])
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, atol=slack, rtol=slack)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("piece", [1, 100, 10**6])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loss_and_gradients_are_those_of_all_logits(monkeypatch, form, piece, dtype):
    monkeypatch.setitem(contrastive_loss.PIECE, "cpu", piece)
    leaves, rest = inputs(dtype=dtype)
    exact = [x.detach().double().requires_grad_() for x in leaves]
    agree(form, leaves, exact, rest, 1e-10 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("form", FORMS)
@drawn(
    q=st.integers(1, 12),
    more=st.integers(0, 9),
    kept=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    piece=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_of_any_size_in_any_pieces(form, q, more, kept, piece, seed):
    leaves, rest = inputs(q, q + more, kept, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(contrastive_loss.PIECE, "cpu", piece)
        agree(form, leaves, leaves, rest, 1e-10)


def test_logits_that_are_far_apart():
    """A column's softmax is not drowned by another row of large logits."""
    (queries, keys, _, _), rest = inputs()
    leaves = [queries, keys, torch.tensor(300.0, dtype=torch.float64, requires_grad=True)]
    single = [x.detach().float().requires_grad_() for x in leaves]
    found, wanted = contrastive_loss.infonce(*single, *rest), whole_infonce(*leaves, 0.0, *rest)
    torch.testing.assert_close(found.double(), wanted, atol=0, rtol=1e-5)
    mine, theirs = (torch.autograd.grad(*x) for x in ((found, single), (wanted, leaves)))
    for a, b in zip(mine, theirs, strict=True):
        assert (a - b).norm() < 1e-4 * b.norm()


@pytest.mark.parametrize("form", FORMS)
def test_gradients_by_finite_differences(form):
    (*three, bias), rest = inputs()
    if form == "infonce":
        assert torch.autograd.gradcheck(lambda *x: contrastive_loss.infonce(*x, *rest), three)
    else:
        assert torch.autograd.gradcheck(
            lambda *x: contrastive_loss.sigmoid(*x, *rest), [*three, bias]
        )


def test_no_queries():
    leaves, (partner, asks, there) = inputs()
    nobody = torch.zeros_like(asks)
    for loss in (
        contrastive_loss.infonce(*leaves[:3], partner, nobody, torch.zeros_like(there)),
        contrastive_loss.sigmoid(*leaves, partner, nobody, there),
    ):
        assert loss.item() == 0
        loss.backward()
    assert all(not x.grad.any() for x in leaves)


@pytest.mark.parametrize("form", FORMS)
def test_memory_is_linear_in_the_batch(form):
    """No tensor of all pairs is held: the largest one is a piece, or the embeddings."""
    sizes = []
    count, piece = 4096, 1 << 20
    leaves = [torch.randn(count, 8, requires_grad=True) for _ in range(2)]
    leaves += [torch.tensor(1.0), torch.tensor(0.0)][: 1 if form == "infonce" else 2]
    rows = torch.arange(count)
    every = torch.ones(count, dtype=torch.bool)

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            sizes.append(made.numel() if isinstance(made, torch.Tensor) else 0)
            return made

    with Watch():
        getattr(contrastive_loss, form)(*leaves, rows, every, every).backward()
    assert max(sizes) <= piece
    assert leaves[0].grad.any()
