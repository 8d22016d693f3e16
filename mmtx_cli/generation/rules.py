"""Rules that change the scores of the next tokens by the tokens so far.

Shape letters: b inputs, k texts per input, t tokens, v vocabulary.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Rule(Protocol):
    """Changes the scores of the next tokens."""

    def __call__(
        self,
        scores: Float[Tensor, "b k v"],
        tokens: Int[Tensor, "b k t"],
        length: Int[Tensor, " b"],
    ) -> Float[Tensor, "b k v"]:
        """Return the changed scores; the given ones may be changed in place.

        Args:
            scores: Logits or log-probabilities; -inf forbids a token.
            tokens: Of the texts so far, without BOS.
            length: Number of tokens of the texts of each input; those behind are arbitrary.
        """
        ...


def apply(
    rules: Sequence[Rule],
    scores: Float[Tensor, "b k v"],
    tokens: Int[Tensor, "b k t"],
    length: Int[Tensor, " b"],
) -> Float[Tensor, "b k v"]:
    """Return the scores changed by all rules in their order.

    Args:
        rules: The rules.
        scores: Of the next tokens, which stay as they are.
        tokens: Of the texts so far.
        length: Number of tokens.
    """
    if rules:
        scores = scores.clone()
    for rule in rules:
        scores = rule(scores, tokens, length)
    return scores


class RepetitionPenalty:
    """Divides positive scores of tokens that the text has by a penalty, and multiplies negative
    ones by it (Keskar et al. 2019).
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def __call__(self, scores: Tensor, tokens: Tensor, length: Tensor) -> Tensor:
        """Change the scores of the tokens that were generated."""
        seen = occurs(tokens, written(tokens, length), scores.shape[2])
        changed = torch.where(scores < 0, scores * self.penalty, scores / self.penalty)
        return torch.where(seen, changed, scores)


class NoRepeatNgram:
    """Forbids tokens that would complete an n-gram that the text already has."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, scores: Tensor, tokens: Tensor, length: Tensor) -> Tensor:
        """Forbid the tokens that followed the last n - 1 ones before."""
        n = self.size
        if tokens.shape[2] < n:
            return scores
        windows = tokens.unfold(2, n, 1)
        place = (length[:, None] - (n - 1) + torch.arange(n - 1, device=length.device)).clamp(min=0)
        last = tokens.gather(2, place[:, None].expand(*tokens.shape[:2], n - 1))
        same = (windows[..., : n - 1] == last[:, :, None]).all(dim=3)
        complete = torch.arange(windows.shape[2], device=length.device) + n <= length[:, None]
        same &= complete[:, None]
        return scores.masked_fill(occurs(windows[..., -1], same, scores.shape[2]), -torch.inf)


class BadWords:
    """Forbids sequences of tokens.

    A constraint that excludes a word still allows longer words that begin with it. Without this
    rule, a model that has begun the word would complete it to one that does not exist.
    """

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        self.sequences = [tuple(sequence) for sequence in sequences]

    def __call__(self, scores: Tensor, tokens: Tensor, length: Tensor) -> Tensor:
        """Forbid the last token of a sequence where the text ends with the others."""
        for *begun, last in self.sequences:
            n = len(begun)
            place = length[:, None] - n + torch.arange(n, device=length.device)
            found = tokens.gather(
                2, place.clamp(min=0)[:, None].expand(*tokens.shape[:2], n)
            ) == torch.tensor(begun, dtype=tokens.dtype, device=tokens.device)
            there = found.all(dim=2) & (length >= n)[:, None]
            scores[..., last] = scores[..., last].masked_fill(there, -torch.inf)
        return scores


class MinLength:
    """Forbids the end of texts that have fewer than a number of tokens."""

    def __init__(self, count: int, eos: int) -> None:
        self.count, self.eos = count, eos

    def __call__(self, scores: Tensor, tokens: Tensor, length: Tensor) -> Tensor:
        """Forbid the end token."""
        short = (length < self.count)[:, None]
        scores[..., self.eos] = scores[..., self.eos].masked_fill(short, -torch.inf)
        return scores


def written(tokens: Int[Tensor, "b k t"], length: Int[Tensor, " b"]) -> Bool[Tensor, "b k t"]:
    """Return which tokens are part of the texts."""
    there = torch.arange(tokens.shape[2], device=tokens.device) < length[:, None]
    return there[:, None].expand(tokens.shape)


def occurs(
    index: Int[Tensor, "b k n"], there: Bool[Tensor, "b k n"], size: int
) -> Bool[Tensor, "b k v"]:
    """Return which of ``size`` tokens are in ``index`` where ``there`` is True."""
    counts = torch.zeros(*index.shape[:2], size, dtype=torch.int32, device=index.device)
    return counts.scatter_add_(2, index, there.int()) > 0
