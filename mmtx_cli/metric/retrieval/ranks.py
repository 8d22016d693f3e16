"""Retrieval: how high the right item ranks.

Shape letters: t tiles, s places of a tile (r and c where the sides differ).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.errors import DataError

_NAMED = 20
EVEN = 64
"""Tiles are a multiple of this long: products of matrices treat an odd edge in a way of its own,
and the scores of equal items would differ in the last bit.
"""


@dataclass(frozen=True)
class Tiles:
    """Embeddings cut into tiles, with what is in the first ``size`` places of each."""

    x: Float[Tensor, "t s d"]
    group: Int[Tensor, "t s"]
    size: list[int]
    place: tuple[Int[Tensor, " n"], Int[Tensor, " n"]]
    """Tile and place of each item."""


def retrieval_ranks(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    a_groups: Int[Tensor, " n"],
    b_groups: Int[Tensor, " m"],
    chunk: int = 1024,
) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"]]:
    """Return the ranks, from 0, of the best-ranked right item: of each of ``a`` among all of ``b``,
    and of each of ``b`` among all of ``a``; -1 for one that has no right item.

    Items are ranked by dot product; those of the same group are right: with a group a picture,
    several captions of one picture are all right. The rank is the number of wrong items that
    score at least as high as the best right one: ties count against the query, so that a model
    which gives everything one embedding finds nothing.

    Nothing is sorted: what is above the best right item is counted, in both directions at once.

    Args:
        a: Embeddings of one side.
        b: Embeddings of the other.
        a_groups: The group of each of ``a``.
        b_groups: The group of each of ``b``.
        chunk: About as many items of each side are compared at a time; the memory is that of the
            embeddings and chunk x chunk, never n x m.

    Raises:
        DataError: Embeddings that are not finite; names rows.
    """
    refuse_odd(a)
    refuse_odd(b)
    if not len(a) or not len(b):
        return torch.full_like(a_groups, -1), torch.full_like(b_groups, -1)
    ours, theirs = _tiled(a, b, a_groups, b_groups, chunk)
    best_ours, best_theirs = (side.x.new_empty(side.group.shape) for side in (ours, theirs))
    for i in range(len(ours.x)):  # a group's items are in the same tile of both sides
        right = ours.group[i][:, None] == theirs.group[i]
        scores = (ours.x[i] @ theirs.x[i].T).masked_fill_(~right, -torch.inf)
        best_ours[i], best_theirs[i] = scores.amax(dim=1), scores.amax(dim=0)
    ranks = _counts(ours, theirs, best_ours, best_theirs)
    return tuple(  # type: ignore[return-value]
        count.masked_fill(best == -torch.inf, -1)[side.place]
        for side, count, best in zip((ours, theirs), ranks, (best_ours, best_theirs), strict=True)
    )


def _counts(
    ours: Tiles,
    theirs: Tiles,
    best_ours: Float[Tensor, "t r"],
    best_theirs: Float[Tensor, "t c"],
) -> tuple[Int[Tensor, "t r"], Int[Tensor, "t c"]]:
    """Return how many wrong items across score at least as high as the best right one."""
    ranks = torch.zeros_like(ours.group), torch.zeros_like(theirs.group)
    scores = ours.x.new_empty(ours.x.shape[1], theirs.x.shape[1])
    above = torch.empty_like(scores)  # 0 and 1: to write and to add up floats is quicker than bools
    for i, n in enumerate(ours.size):
        for j, m in enumerate(theirs.size):
            torch.mm(ours.x[i], theirs.x[j].T, out=scores)
            right = ours.group[i][:, None] == theirs.group[j] if i == j else None
            for rank, best, some in (
                (ranks[0][i], best_ours[i][:, None], above[:, :m]),
                (ranks[1][j], best_theirs[j], above[:n].T),
            ):
                torch.ge(scores, best, out=above)
                if right is not None:
                    above.masked_fill_(right, 0)
                rank += some.sum(dim=1).long()
    return ranks


def _tiled(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    a_groups: Int[Tensor, " n"],
    b_groups: Int[Tensor, " m"],
    chunk: int,
) -> tuple[Tiles, Tiles]:
    """Cut both sides into as many tiles, so that a group is in the same tile of both."""
    groups, number = torch.cat([a_groups, b_groups]).unique(return_inverse=True)
    ours, theirs = number.split([len(a), len(b)])
    counts = [own.bincount(minlength=len(groups)) for own in (ours, theirs)]
    ends = torch.maximum(*counts).cumsum(dim=0)
    used, tile = ((ends - 1) // chunk).unique(return_inverse=True)
    return (
        _side(a, ours, tile[ours], len(used), nothing=-1),
        _side(b, theirs, tile[theirs], len(used), nothing=-2),
    )


def _side(
    x: Float[Tensor, "n d"],
    group: Int[Tensor, " n"],
    tile: Int[Tensor, " n"],
    tiles: int,
    nothing: int,
) -> Tiles:
    """Put items into their tiles; an empty place is of the group ``nothing``."""
    size = tile.bincount(minlength=tiles)
    order = tile.argsort(stable=True)
    position = torch.empty_like(order)
    first = size.cumsum(dim=0) - size
    position[order] = torch.arange(len(order), device=x.device) - first[tile[order]]
    longest = -(-int(size.max()) // EVEN) * EVEN
    kind = torch.promote_types(x.dtype, torch.float32)
    placed = torch.zeros(tiles, longest, x.shape[1], dtype=kind, device=x.device)
    groups = torch.full((tiles, longest), nothing, device=x.device)
    placed[tile, position] = x.detach().to(kind)
    groups[tile, position] = group
    return Tiles(placed, groups, size.tolist(), (tile, position))


def refuse_odd(x: Float[Tensor, "n d"]) -> None:
    """Raise a DataError that names the rows which are not finite."""
    rows = (~x.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if rows:
        shown = ", ".join(map(str, rows[:_NAMED])) + (" …" if len(rows) > _NAMED else "")
        raise DataError(f"{len(rows)} items have an embedding that is not finite: rows {shown}")
