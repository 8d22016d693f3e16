"""Retrieval among texts with duplicates: identical texts count as one item."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.metric.retrieval.ranks import EVEN, check_finite_rows, retrieval_ranks

TEXT = "text"
"""Name of the stream of texts."""
Pairs = tuple[Int[Tensor, " p"], Int[Tensor, " p"]]


def text_ids(texts: Sequence[Hashable]) -> Int[Tensor, " m"]:
    """Return an id for each text, equal for identical texts, in the order of first occurrence."""
    ids: dict[Hashable, int] = {}
    return torch.tensor([ids.setdefault(text, len(ids)) for text in texts])


def pair_ranks(
    sides: Mapping[str, tuple[Tensor, Tensor]], a: str, b: str, texts: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Return ``retrieval_ranks`` between two streams, with identical ``texts`` as one item.

    Args:
        sides: Embeddings and sample index of the items, by stream.
        a: One stream.
        b: The other stream.
        texts: The texts in the order of their embeddings.
    """
    (a_embeddings, a_owner), (b_embeddings, b_owner) = sides[a], sides[b]
    if len({*texts}) == len(texts) or TEXT not in (a, b):
        return retrieval_ranks(a_embeddings, b_embeddings, a_owner, b_owner)
    if a == TEXT:
        return pair_ranks(sides, b, a, texts)[::-1]
    return dedup_ranks(a_embeddings, b_embeddings, a_owner, b_owner, text_ids(texts))


def dedup_ranks(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    a_groups: Int[Tensor, " n"],
    b_groups: Int[Tensor, " m"],
    text_id: Int[Tensor, " m"],
    chunk: int = 1024,
) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"]]:
    """Return the ranks of ``retrieval_ranks`` where texts ``b`` of equal ``text_id`` are one item,
    which is correct for every item of ``a`` that shares a group with any of them.

    Args:
        a: Embeddings of the items that are not texts.
        b: Embeddings of the texts.
        a_groups: The group of each of ``a``.
        b_groups: The group of each of ``b``.
        text_id: The id of each text, as returned by ``text_ids``.
        chunk: Approximate number of items of each side compared at a time.

    Raises:
        DataError: If embeddings are not finite; lists the rows.
    """
    check_finite_rows(a)
    check_finite_rows(b)
    dtype = torch.promote_types(a.dtype, torch.float32)
    a, b = a.detach().to(dtype), b.detach().to(dtype)
    first = torch.full((int(text_id.max()) + 1,), len(b)).scatter_reduce(
        0, text_id, torch.arange(len(b)), "amin"
    )
    pairs, has_item = correct_pairs(a_groups, b_groups, text_id)
    a_ranks, b_ranks = _counts(a, b[first], pairs, -(-chunk // EVEN) * EVEN)
    return a_ranks, b_ranks[text_id].masked_fill(~has_item, -1)


def correct_pairs(
    a_groups: Int[Tensor, " n"], b_groups: Int[Tensor, " m"], text_id: Int[Tensor, " m"]
) -> tuple[Pairs, Tensor]:
    """Return the matching pairs of items and wordings, and which texts match an item themselves."""
    ordered, order = a_groups.sort(stable=True)
    begin = torch.searchsorted(ordered, b_groups)
    count = torch.searchsorted(ordered, b_groups, right=True) - begin
    text = text_id.repeat_interleave(count)
    step = torch.arange(len(text)) - (count.cumsum(0) - count).repeat_interleave(count)
    item = order[begin.repeat_interleave(count) + step]
    both = torch.stack([item, text]).unique(dim=1)
    return (both[0], both[1]), count > 0


def _counts(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], pairs: Pairs, chunk: int
) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"]]:
    """Return how many wrong items score at least as high as the best correct one; -1 if there is
    none.
    """
    best = a.new_full((len(a),), -torch.inf), a.new_full((len(b),), -torch.inf)
    for i, j, scores, correct in _tiles(a, b, pairs, chunk):
        best[0].scatter_reduce_(0, correct[0] + i, scores[correct], "amax")
        best[1].scatter_reduce_(0, correct[1] + j, scores[correct], "amax")
    ranks = torch.zeros(len(a), dtype=torch.int64), torch.zeros(len(b), dtype=torch.int64)
    for i, j, scores, correct in _tiles(a, b, pairs, chunk):
        n, m = scores.shape
        above = scores >= best[0][i : i + n, None]
        above[correct] = False
        ranks[0][i : i + n] += above.sum(dim=1)
        above = scores >= best[1][j : j + m]
        above[correct] = False
        ranks[1][j : j + m] += above.sum(dim=0)
    a_ranks, b_ranks = (
        r.masked_fill(b == -torch.inf, -1) for r, b in zip(ranks, best, strict=True)
    )
    return a_ranks, b_ranks


def _tiles(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], pairs: Pairs, chunk: int
) -> Iterator[tuple[int, int, Float[Tensor, "r c"], Pairs]]:
    """Yield the offsets of each tile in ``a`` and ``b``, its scores, and its correct positions."""
    for i in range(0, len(a), chunk):
        a_tile = F.pad(a[i : i + chunk], (0, 0, 0, max(0, i + chunk - len(a))))
        in_rows = (pairs[0] >= i) & (pairs[0] < i + chunk)
        row, column = pairs[0][in_rows] - i, pairs[1][in_rows]
        for j in range(0, len(b), chunk):
            b_tile = F.pad(b[j : j + chunk], (0, 0, 0, max(0, j + chunk - len(b))))
            in_tile = (column >= j) & (column < j + chunk)
            scores = (a_tile @ b_tile.T)[: len(a) - i, : len(b) - j]
            yield i, j, scores, (row[in_tile], column[in_tile] - j)
