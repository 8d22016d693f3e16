"""Ranks of the correct items in retrieval.

Shape letters: t tiles, s slots of a tile (r and c where the sides differ).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.errors import DataError, listed

EVEN = 64
"""Tile lengths are a multiple of this: matrix products treat odd edges differently, so the scores
of identical items would differ in the last bit.
"""


@dataclass(frozen=True)
class Tiles:
    """Embeddings cut into tiles, of which the first ``size`` slots are filled."""

    x: Float[Tensor, "t s d"]
    group: Int[Tensor, "t s"]
    size: list[int]
    place: tuple[Int[Tensor, " n"], Int[Tensor, " n"]]
    """Tile and slot of each item."""


def retrieval_ranks(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    a_groups: Int[Tensor, " n"],
    b_groups: Int[Tensor, " m"],
    chunk: int = 1024,
) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"]]:
    """Return the rank, from 0, of the best correct item for each of ``a`` among ``b``, and for each
    of ``b`` among ``a``; -1 if there is no correct item.

    Items are ranked by dot product; items of the same group are correct: if groups are images, all
    captions of an image are correct. The rank is the number of wrong items that score at least as
    high as the best correct one. Ties count against the query, so a model with constant embeddings
    gets no hits.

    Nothing is sorted: the items above the best correct one are counted in both directions at once.

    Args:
        a: Embeddings of one side.
        b: Embeddings of the other.
        a_groups: The group of each of ``a``.
        b_groups: The group of each of ``b``.
        chunk: Approximate number of items of each side compared at a time; memory is that of the
            embeddings and chunk x chunk, never n x m.

    Raises:
        DataError: If embeddings are not finite; lists the rows.
    """
    check_finite_rows(a)
    check_finite_rows(b)
    if not len(a) or not len(b):
        return torch.full_like(a_groups, -1), torch.full_like(b_groups, -1)
    a_tiles, b_tiles = _tiled(a, b, a_groups, b_groups, chunk)
    a_best, b_best = (side.x.new_empty(side.group.shape) for side in (a_tiles, b_tiles))
    for i in range(len(a_tiles.x)):  # a group's items are in the same tile of both sides
        correct = a_tiles.group[i][:, None] == b_tiles.group[i]
        scores = (a_tiles.x[i] @ b_tiles.x[i].T).masked_fill_(~correct, -torch.inf)
        a_best[i], b_best[i] = scores.amax(dim=1), scores.amax(dim=0)
    ranks = _counts(a_tiles, b_tiles, a_best, b_best)
    return tuple(  # type: ignore[return-value]
        count.masked_fill(best == -torch.inf, -1)[side.place]
        for side, count, best in zip((a_tiles, b_tiles), ranks, (a_best, b_best), strict=True)
    )


def _counts(
    a_tiles: Tiles,
    b_tiles: Tiles,
    a_best: Float[Tensor, "t r"],
    b_best: Float[Tensor, "t c"],
) -> tuple[Int[Tensor, "t r"], Int[Tensor, "t c"]]:
    """Return how many wrong items across score at least as high as the best correct one."""
    ranks = torch.zeros_like(a_tiles.group), torch.zeros_like(b_tiles.group)
    scores = a_tiles.x.new_empty(a_tiles.x.shape[1], b_tiles.x.shape[1])
    above = torch.empty_like(scores)  # 0 and 1: writing and adding floats is faster than bools
    for i, n in enumerate(a_tiles.size):
        for j, m in enumerate(b_tiles.size):
            torch.mm(a_tiles.x[i], b_tiles.x[j].T, out=scores)
            correct = a_tiles.group[i][:, None] == b_tiles.group[j] if i == j else None
            for rank, best, filled in (
                (ranks[0][i], a_best[i][:, None], above[:, :m]),
                (ranks[1][j], b_best[j], above[:n].T),
            ):
                torch.ge(scores, best, out=above)
                if correct is not None:
                    above.masked_fill_(correct, 0)
                rank += filled.sum(dim=1).long()
    return ranks


def _tiled(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    a_groups: Int[Tensor, " n"],
    b_groups: Int[Tensor, " m"],
    chunk: int,
) -> tuple[Tiles, Tiles]:
    """Cut both sides into the same number of tiles, with each group in the same tile of both."""
    groups, number = torch.cat([a_groups, b_groups]).unique(return_inverse=True)
    a_numbers, b_numbers = number.split([len(a), len(b)])
    counts = [side.bincount(minlength=len(groups)) for side in (a_numbers, b_numbers)]
    ends = torch.maximum(*counts).cumsum(dim=0)
    used, tile = ((ends - 1) // chunk).unique(return_inverse=True)
    return (
        _side(a, a_numbers, tile[a_numbers], len(used), nothing=-1),
        _side(b, b_numbers, tile[b_numbers], len(used), nothing=-2),
    )


def _side(
    x: Float[Tensor, "n d"],
    group: Int[Tensor, " n"],
    tile: Int[Tensor, " n"],
    tiles: int,
    nothing: int,
) -> Tiles:
    """Place items in their tiles; empty slots get the group ``nothing``.

    Args:
        x: The embeddings.
        group: The group of each item.
        tile: The tile of each item.
        tiles: The number of tiles.
        nothing: The group of empty slots.
    """
    size = tile.bincount(minlength=tiles)
    order = tile.argsort(stable=True)
    position = torch.empty_like(order)
    first = size.cumsum(dim=0) - size
    position[order] = torch.arange(len(order), device=x.device) - first[tile[order]]
    num_slots = -(-int(size.max()) // EVEN) * EVEN
    dtype = torch.promote_types(x.dtype, torch.float32)
    placed = torch.zeros(tiles, num_slots, x.shape[1], dtype=dtype, device=x.device)
    groups = torch.full((tiles, num_slots), nothing, device=x.device)
    placed[tile, position] = x.detach().to(dtype)
    groups[tile, position] = group
    return Tiles(placed, groups, size.tolist(), (tile, position))


def check_finite_rows(x: Float[Tensor, "n d"]) -> None:
    """Raise DataError that lists the rows that are not finite."""
    rows = (~x.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if rows:
        raise DataError(f"{len(rows)} items have non-finite embeddings: rows {listed(rows)}")
