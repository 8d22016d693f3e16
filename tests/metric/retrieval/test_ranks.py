"""Ranks against a loop over every query and item."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmtx_cli.errors import DataError
from mmtx_cli.metric.retrieval.ranks import retrieval_ranks
from tests.messages import raises


def slow_ranks(queries, gallery, query_groups, gallery_groups):
    """Count, query by query, the wrong items that score no lower than the best right one."""
    ranks = []
    for query, group in zip(queries, query_groups, strict=True):
        scores = [
            (float(query @ item), int(g)) for item, g in zip(gallery, gallery_groups, strict=True)
        ]
        right = [score for score, g in scores if g == group]
        ranks.append(sum(s >= max(right) for s, g in scores if g != group) if right else -1)
    return ranks


def both_ways(a, b, a_groups, b_groups):
    return slow_ranks(a, b, a_groups, b_groups), slow_ranks(b, a, b_groups, a_groups)


def ranks_of(*args):
    ours, theirs = retrieval_ranks(*args)
    return ours.tolist(), theirs.tolist()


@pytest.mark.parametrize("chunk", [1, 3, 1024])
@pytest.mark.parametrize("captions", [1, 5])
def test_ranks_equal_a_loop_both_ways(captions, chunk):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(-3, 4, (20, 4), generator=generator).double()
    texts = torch.randint(-3, 4, (20 * captions, 4), generator=generator).double()
    groups = torch.arange(20)
    sides = images, texts, groups, groups.repeat_interleave(captions)
    assert ranks_of(*sides, chunk) == both_ways(*sides)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), chunk=st.sampled_from([1, 2, 5, 64]))
def test_any_groups_in_any_order(data, chunk):
    """Small whole numbers tie often; groups have any number of items on either side."""
    sides = []
    for _ in range(2):
        n = data.draw(st.integers(1, 25))
        draw = st.lists(st.integers(-2, 2), min_size=3 * n, max_size=3 * n)
        x = torch.tensor(data.draw(draw)).float().view(n, 3)
        group = torch.tensor(
            data.draw(st.lists(st.integers(-1, 8), min_size=n, max_size=n)), dtype=torch.int64
        )
        sides.append((x, group))
    (a, a_groups), (b, b_groups) = sides
    assert ranks_of(a, b, a_groups, b_groups, chunk) == both_ways(a, b, a_groups, b_groups)


def test_equal_items_tie_wherever_they_are():
    """Rounding must not tell apart what is the same: captions that several pictures share."""
    generator = torch.Generator().manual_seed(0)
    kinds = F.normalize(torch.randn(7, 48, generator=generator), dim=1)
    which = torch.randint(7, (300,), generator=generator)
    alike = which[:, None] == which
    groups = torch.arange(300)
    images, texts = retrieval_ranks(kinds[which], kinds[which], groups, groups, 90)
    assert images.tolist() == texts.tolist() == (alike.sum(dim=1) - 1).tolist()


def test_many_items_rank_as_in_a_sorted_list():
    generator = torch.Generator().manual_seed(0)
    a = F.normalize(torch.randn(700, 32, generator=generator), dim=1)
    b = F.normalize(a + torch.randn(700, 32, generator=generator), dim=1)
    groups = torch.randperm(700, generator=generator)
    ours, theirs = retrieval_ranks(a.double(), b.double(), groups, groups, 128)
    scores = a.double() @ b.double().T
    for ranks, table in ((ours, scores), (theirs, scores.T)):
        order = table.argsort(dim=1, descending=True)
        assert (
            ranks.tolist() == (order == groups.argsort()[groups][:, None]).nonzero()[:, 1].tolist()
        )


def test_the_best_of_several_right_items_counts():
    gallery = torch.tensor([[3.0], [2.0], [1.0], [0.0]])
    ranks, back = retrieval_ranks(
        torch.ones(2, 1), gallery, torch.tensor([0, 1]), torch.tensor([1, 0, 0, 1])
    )
    assert ranks.tolist() == [1, 0]
    assert back.tolist() == [1, 1, 1, 1]


def test_ties_count_against_the_query():
    groups = torch.arange(8)
    same = torch.ones(8, 3)
    assert ranks_of(same, same, groups, groups) == ([7] * 8, [7] * 8)


def test_half_precision_counts_beyond_its_numbers():
    same, groups = torch.ones(600, 2, dtype=torch.bfloat16), torch.arange(600)
    assert ranks_of(same, same, groups, groups) == ([599] * 600, [599] * 600)


def test_nothing_to_find_has_no_rank():
    none = torch.zeros(0, dtype=torch.int64)
    ranks = ranks_of(torch.zeros(0, 2), torch.ones(3, 2), none, torch.arange(3))
    assert ranks == ([], [-1, -1, -1])
    x = torch.ones(3, 2)
    ranks = ranks_of(x, x, torch.tensor([0, 7, 8]), torch.arange(3))
    assert ranks == ([2, -1, -1], [2, -1, -1])


def test_names_items_that_cannot_be_ranked():
    x, groups = torch.ones(3, 2), torch.arange(3)
    odd = torch.tensor([[1.0, 0], [torch.nan, 0], [0, torch.inf]])
    for sides in ((x, odd), (odd, x)):
        with raises(DataError, "finite", ": rows 1, 2"):
            retrieval_ranks(*sides, groups, groups)
