from itertools import combinations

import pytest
import torch
from torch import multiprocessing
from torch.nn import functional as F

from mmtx_cli.distributed.collectives import gather, global_mean, rank, world_size
from tests.distributed.distributed_cases import (
    CASES,
    PARTS,
    WORLD,
    inputs,
    process,
    single,
    small,
    whole,
)

pytestmark = pytest.mark.xdist_group("processes")  # so that they are started once


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process ends with, in every case."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(process, (str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


def agree(mine, wanted):
    assert mine.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            mine[name].double(), value.double(), atol=1e-5, rtol=1e-5, msg=lambda m, n=name: n + m
        )


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_would(found, case):
    wanted = single()[case]
    assert all(value.any() for value in wanted.values()), "a comparison with nothing"
    for own in found:
        agree(own["cases"][case], wanted)


def naive_infonce(a, b, head):
    """Radford et al. 2021, figure 3, pair by pair."""
    scale = head.log_scale.exp()
    ways = [(q, k, i) for x, y in ((a, b), (b, a)) for i, (q, k) in enumerate((v, y) for v in x)]
    each = [torch.logsumexp(scale * keys @ q, dim=0) - scale * q @ keys[i] for q, keys, i in ways]
    return sum(each) / (2 * len(a))


def naive_sigmoid(a, b, head):
    """Zhai et al. 2023, equation 1, pair by pair."""
    scale, total = head.log_scale.exp(), 0
    for i in range(len(a)):
        for j in range(len(b)):
            z = 1 if i == j else -1
            total = total + (1 + (-z * (scale * a[i] @ b[j] + head.bias)).exp()).log()
    return total / len(a)


@pytest.mark.parametrize(
    ("case", "naive"),
    [("infonce", naive_infonce), ("sigmoid", naive_sigmoid), ("infonce of three", naive_infonce)],
)
def test_two_processes_learn_what_is_written(found, case, naive):
    """Of the whole batch, in double precision, with autograd's gradients of every parameter."""
    model = small(case).double()
    x, mask, _ = inputs(slice(None))
    unit = {}
    for name in model.head.streams:
        rows = [
            model.layer(v[m].double()).mean(dim=0) for v, m in zip(x[name], mask[name], strict=True)
        ]
        unit[name] = [F.normalize(model.head.project[name](row), dim=0) for row in rows]
    losses = []
    for one, other in combinations(model.head.streams, 2):
        both = [i for i in range(len(x[one])) if mask[one][i].any() and mask[other][i].any()]
        sides = [torch.stack([unit[name][i] for i in both]) for name in (one, other)]
        losses.append(naive(*sides, model.head))
    loss = sum(losses) / len(losses)
    loss.backward()
    wanted = {"loss": loss.detach()} | {k: p.grad for k, p in model.named_parameters()}
    for own in found:
        agree(own["cases"][case], wanted)


@pytest.mark.parametrize("form", PARTS)
def test_two_processes_in_parts_learn_what_one_would_at_once(found, form):
    """GradCache in each process: the negatives are still those of all."""
    wanted = whole(form, slice(None), None)
    for own in found:
        agree(own["parts"][form], wanted)


@pytest.mark.parametrize("form", PARTS)
def test_two_processes_draw_the_same_dropout_again(found, form):
    for own in found:
        dropped = own["parts"][f"{form}, dropout"]
        agree(dropped, own["parts"][f"{form}, dropout, all kept"])
        assert not torch.allclose(dropped["loss"], own["parts"][form]["loss"])


def test_a_single_process_gathers_nothing():
    assert (world_size(), rank()) == (1, 0)
    x = torch.randn(3, 2)
    assert gather(x, shared=True) is x
    mean = global_mean(torch.tensor(6.0), torch.tensor(4), shared=True)
    assert mean.item() == 1.5
    assert global_mean(torch.tensor(0.0), torch.tensor(0), shared=True).item() == 0
