import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.errors import DataError
from mmtx_cli.metric.retrieval.equal_texts import dedup_ranks, text_ids
from mmtx_cli.metric.retrieval.ranks import retrieval_ranks
from tests.messages import raises


def slow_ranks(a, b, a_groups, b_groups, wording):
    """Both directions by loops over pairs, each wording once."""
    texts = dict(reversed(list(zip(wording, b, strict=True))))
    right = set(zip(b_groups, wording, strict=True))

    def rank(scores, own):
        best = [score for score, mine in zip(scores, own, strict=True) if mine]
        if not best:
            return -1
        return sum(s >= max(best) for s, mine in zip(scores, own, strict=True) if not mine)

    ours = [rank([x @ t for t in texts.values()], [(g, w) in right for w in texts])
            for x, g in zip(a, a_groups, strict=True)]  # fmt: skip
    theirs = [
        rank([x @ texts[w] for x in a], [(g, w) in right for g in a_groups])
        if own in a_groups
        else -1
        for w, own in zip(wording, b_groups, strict=True)
    ]
    return ours, theirs


@settings(max_examples=60, deadline=None)
@given(data=st.data(), chunk=st.sampled_from([1, 64]), most=st.integers(0, 12))
def test_ranks_equal_a_loop_both_ways(data, chunk, most):
    n, m = (data.draw(st.integers(1, 90)) for _ in range(2))
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    wording = text_ids(torch.randint(0, most + 1, (m,), generator=random).tolist())
    a = torch.randint(-2, 3, (n, 3), generator=random).float()
    b = torch.randint(-2, 3, (m, 3), generator=random).float()[wording]  # equal texts are equal
    a_groups, b_groups = (torch.randint(0, 9, (k,), generator=random) for k in (n, m))
    ours, theirs = dedup_ranks(a, b, a_groups, b_groups, wording, chunk)
    args = [x.tolist() for x in (a_groups, b_groups, wording)]
    assert (ours.tolist(), theirs.tolist()) == slow_ranks(a, b, *args)


def test_texts_that_all_differ_rank_as_items_do():
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 4, generator=random) for n in (70, 210))
    groups = torch.arange(70), torch.arange(70).repeat_interleave(3)
    found = dedup_ranks(a, b, *groups, text_ids(range(210)))
    for ours, theirs in zip(found, retrieval_ranks(a, b, *groups), strict=True):
        assert torch.equal(ours, theirs)


def test_a_perfect_model_is_perfect_where_texts_repeat():
    """Pictures 0 and 2 share a caption, and so do 1 and 2: picture 2 finds two of its own."""
    texts = ["red", "blue", "red", "blue"]
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    b = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[text_ids(texts)]
    owner = torch.arange(3), torch.tensor([0, 1, 2, 2])
    ours, theirs = dedup_ranks(a, b, *owner, text_ids(texts))
    assert ours.tolist() == [0, 0, 0]
    assert theirs.tolist() == [0, 0, 0, 0]
    # the next caption is wrong for picture 0, however often it occurs
    ours, _ = dedup_ranks(a.flip(1), b, *owner, text_ids(texts))
    assert ours.tolist() == [1, 1, 0]


def test_embeddings_that_are_not_finite_are_named():
    a = torch.zeros(2, 3)
    with raises(DataError, "finite", ": rows 1"):
        dedup_ranks(a, torch.tensor([[0.0] * 3, [torch.nan] * 3]), *[torch.arange(2)] * 3)
