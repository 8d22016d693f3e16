"""The figures of retrieval: how high the right item ranks, in both directions."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.error import DataError
from mmtx_cli.metric.scores import Scores

_CUTS = (1, 5, 10)
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
    ranks = []
    for rows in torch.arange(len(queries), device=queries.device).split(chunk):
        scores = queries[rows] @ gallery.T
        right = query_groups[rows, None] == gallery_groups
        _refuse(~right.any(dim=1), "queries have no right item in the gallery", rows)
        best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(((scores >= best) & ~right).sum(dim=1))
    return torch.cat(ranks) if ranks else query_groups.new_zeros(0, dtype=torch.int64)


def retrieval_scores(
    ranks_a_to_b: Int[Tensor, " n"],
    ranks_b_to_a: Int[Tensor, " m"],
    names: tuple[str, str] = ("image_to_text", "text_to_image"),
) -> Scores:
    """Return recall at 1, 5 and 10 in both directions, and their mean.

    Figures: ``image_to_text_r1`` …, ``text_to_image_r10``, ``mean_recall``. The samples are the
    queries of the first direction, then of the second; each has its ``rank``. Intervals resample
    the queries of each direction apart.
    """
    sizes = (len(ranks_a_to_b), len(ranks_b_to_a))
    if not all(sizes):
        raise DataError(f"there are {sizes[0]} {names[0]} and {sizes[1]} {names[1]} queries")
    ranks = torch.cat([ranks_a_to_b, ranks_b_to_a]).cpu().numpy()
    direction = np.repeat([0, 1], sizes)
    found = np.stack([ranks < cut for cut in _CUTS], axis=1)
    asked = np.ones((len(ranks), 1), dtype=bool)
    of_one = np.concatenate([asked, found], axis=1)
    statistics = np.concatenate(
        [of_one & (direction == number)[:, None] for number in (0, 1)], axis=1
    )

    def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
        halves = np.split(sums, 2, axis=-1)
        recalls = {
            f"{name}_r{cut}": half[..., at] / np.maximum(half[..., 0], 1)
            for name, half in zip(names, halves, strict=True)
            for at, cut in enumerate(_CUTS, start=1)
        }
        return recalls | {"mean_recall": np.mean(list(recalls.values()), axis=0)}

    return Scores({"rank": ranks.astype(np.float64)}, statistics, figures, direction)


def _refuse(wrong: Tensor, what: str, rows: Tensor | None = None) -> None:
    found = (wrong.nonzero().flatten() if rows is None else rows[wrong]).tolist()
    if found:
        shown = ", ".join(map(str, found[:_NAMED])) + (" …" if len(found) > _NAMED else "")
        raise DataError(f"{len(found)} {what}: rows {shown}")
