"""Candidates for the next tokens of beams.

Shape letters: b inputs, k beams per input, n candidates, v vocabulary.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def best_candidates(
    total: Float[Tensor, "b k v"],
) -> tuple[Float[Tensor, "b n"], Int[Tensor, "b n"]]:
    """Return the best scores and their places in the flattened ``total``, the best first: twice as
    many as beams, so that enough of them do not end.
    """
    k, v = total.shape[1:]
    best, index = total.flatten(1).topk(min(2 * k, k * v), dim=1)
    return best, index


def seeking_candidates(
    total: Float[Tensor, "b k v"], closer: Bool[Tensor, "b k v"]
) -> tuple[Float[Tensor, "b n"], Int[Tensor, "b n"]]:
    """Return candidates for a search that requires words, the best first: also the best token of
    each beam, and the best one that brings it closer to the required words (Post & Vilar 2018).

    Args:
        total: Scores of the extended texts.
        closer: Tokens that bring a text closer.
    """
    index = best_candidates(total)[1]
    first = torch.arange(total.shape[1], device=total.device) * total.shape[2]
    own = first + total.argmax(dim=2)
    near = first + total.masked_fill(~closer, -torch.inf).argmax(dim=2)
    index = torch.cat([index, own, near], dim=1).sort(dim=1).values
    again = torch.zeros_like(index, dtype=torch.bool)
    again[:, 1:] = index[:, 1:] == index[:, :-1]
    best = total.flatten(1).gather(1, index).masked_fill(again, -torch.inf)
    best, order = best.sort(dim=1, descending=True, stable=True)
    return best, index.gather(1, order)


def spread(best: Float[Tensor, "b n"], missing: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Return the order in which candidates become beams: the best one of each number of missing
    tokens, then the second best of each, and so on (banks, Post & Vilar 2018).

    Args:
        best: Scores in decreasing order; -inf for those that do not go on.
        missing: Number of tokens that the texts lack.
    """
    same = missing[:, :, None] == missing[:, None, :]
    rank = (same.tril(-1) & (best > -torch.inf)[:, None, :]).sum(dim=2)
    rank = rank.masked_fill(best == -torch.inf, best.shape[1])
    return rank.argsort(dim=1, stable=True)
