"""Retrieval: how high the right item ranks."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmtx_cli.error import DataError

_NAMED = 20


def retrieval_ranks(
    queries: Float[Tensor, "n d"],
    gallery: Float[Tensor, "m d"],
    query_groups: Int[Tensor, " n"],
    gallery_groups: Int[Tensor, " m"],
    chunk: int = 1024,
) -> Int[Tensor, " n"]:
    """Return the rank, from 0, of the best-ranked right item of each query.

    Items are ranked by dot product; those of the query's group are right: with a group a picture,
    several captions of one picture are all right. The rank is the number of wrong items that
    score at least as high as the best right one: ties count against the query, so that a model
    which gives everything one embedding finds nothing.

    Args:
        queries: Their embeddings.
        gallery: The embeddings of the items to find.
        query_groups: The group of each query.
        gallery_groups: The group of each item.
        chunk: Queries compared at a time; the memory is chunk x m, never n x m.

    Raises:
        DataError: Queries without a right item, or embeddings that are not finite; names rows.
    """
    _refuse(~queries.isfinite().all(dim=1), "queries have an embedding that is not finite")
    _refuse(~gallery.isfinite().all(dim=1), "items have an embedding that is not finite")
    missing = ~torch.isin(query_groups, gallery_groups)
    _refuse(missing, "queries have no right item in the gallery")
    ranks = []
    for rows in torch.arange(len(queries), device=queries.device).split(chunk):
        scores = queries[rows] @ gallery.T
        right = query_groups[rows, None] == gallery_groups
        best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(((scores >= best) & ~right).sum(dim=1))
    return torch.cat(ranks) if ranks else query_groups.new_zeros(0, dtype=torch.int64)


def _refuse(wrong: Bool[Tensor, " r"], what: str) -> None:
    rows = wrong.nonzero().flatten().tolist()
    if rows:
        shown = ", ".join(map(str, rows[:_NAMED])) + (" …" if len(rows) > _NAMED else "")
        raise DataError(f"{len(rows)} {what}: rows {shown}")
