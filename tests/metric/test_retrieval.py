import pytest
import torch

from mmtx_cli.error import DataError
from mmtx_cli.metric.retrieval import retrieval_ranks


def slow_ranks(queries, gallery, query_groups, gallery_groups):
    """Count, query by query, the wrong items that score no lower than the best right one."""
    ranks = []
    for query, group in zip(queries, query_groups, strict=True):
        scores = [
            (float(query @ item), int(g)) for item, g in zip(gallery, gallery_groups, strict=True)
        ]
        best = max(score for score, g in scores if g == group)
        ranks.append(sum(score >= best for score, g in scores if g != group))
    return ranks


@pytest.mark.parametrize("chunk", [1, 3, 1024])
@pytest.mark.parametrize("captions", [1, 5])
def test_ranks_equal_a_loop_both_ways(captions, chunk):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(-3, 4, (20, 4), generator=generator).double()
    texts = torch.randint(-3, 4, (20 * captions, 4), generator=generator).double()
    image_groups = torch.arange(20)
    text_groups = image_groups.repeat_interleave(captions)
    for a, b in (
        ((images, image_groups), (texts, text_groups)),
        ((texts, text_groups), (images, image_groups)),
    ):
        ranks = retrieval_ranks(a[0], b[0], a[1], b[1], chunk)
        assert ranks.tolist() == slow_ranks(a[0], b[0], a[1], b[1])


def test_the_best_of_several_right_items_counts():
    gallery = torch.tensor([[3.0], [2.0], [1.0], [0.0]])
    ranks = retrieval_ranks(
        torch.ones(2, 1), gallery, torch.tensor([0, 1]), torch.tensor([1, 0, 0, 1])
    )
    assert ranks.tolist() == [1, 0]


def test_ties_count_against_the_query():
    groups = torch.arange(8)
    same = torch.ones(8, 3)
    assert retrieval_ranks(same, same, groups, groups).tolist() == [7] * 8


def test_no_queries_have_no_ranks():
    none = torch.zeros(0, dtype=torch.int64)
    ranks = retrieval_ranks(torch.zeros(0, 2), torch.ones(3, 2), none, torch.arange(3))
    assert ranks.tolist() == []


def test_names_queries_that_cannot_be_ranked():
    x = torch.ones(3, 2)
    with pytest.raises(DataError, match="2 queries have no right item in the gallery: rows 1, 2"):
        retrieval_ranks(x, x, torch.tensor([0, 7, 8]), torch.arange(3), chunk=2)
