"""Where the tokens of a prefix and of its texts stand in the sequences of a language model.

A prefix (the context and the prompt) has gaps where context tokens are missing. They are removed,
so that what is missing neither costs nor changes anything. With packing, a sequence holds the
prefixes and texts of several inputs, and texts of one input share its prefix (block-diagonal
attention): no computation is spent on padding or on the prefix of a further text.

Shape letters: b inputs, s texts, p prefix tokens, t text tokens, r sequences, l their length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PREFIX, PADDING = -1, -2
"""In place of the number of a text."""


def move_padding(
    x: Float[Tensor, "b p d"], mask: Bool[Tensor, "b p"], to_left: bool = False
) -> tuple[Float[Tensor, "b p d"], Bool[Tensor, "b p"]]:
    """Move all masked tokens to one end; the order of the others does not change."""
    order = (mask if to_left else ~mask).to(torch.uint8).argsort(dim=1, stable=True)
    moved = x.gather(1, order[..., None].expand_as(x))
    return moved, mask.gather(1, order)


@dataclass(frozen=True)
class Layout:
    """Sequences of a language model, as indices into a pool of token vectors.

    Args:
        index: For each position, its token in the pool: first the prefixes [b * p], then the texts
            [s * t], then padding.
        position: Position of the token in its own text, with its prefix.
        attended: Which positions a position attends to; None for causal attention.
        states: For each text token, the position of the state that predicts it, in the flattened
            sequences.
    """

    index: Int[Tensor, "r l"]
    position: Int[Tensor, "r l"]
    attended: Bool[Tensor, "r 1 l l"] | None
    states: Int[Tensor, "s t"]


def one_by_one(prefix_mask: Bool[Tensor, "b p"], num_texts: int, length: int) -> Layout:
    """Return a layout of one sequence per text: its prefix, then the text, then padding.

    Padding attends to nothing that matters and is attended to by nothing: attention is causal.
    """
    b, p = prefix_mask.shape
    device = prefix_mask.device
    mask = prefix_mask.repeat_interleave(num_texts, dim=0)
    s = len(mask)
    own = torch.arange(b, device=device).repeat_interleave(num_texts)[:, None] * p
    prefix = own + torch.arange(p, device=device)
    texts = b * p + torch.arange(s * length, device=device).view(s, length)
    real = torch.cat([mask, torch.ones(s, length, dtype=torch.bool, device=device)], dim=1)
    index = torch.cat([prefix, texts], dim=1)
    order = (~real).to(torch.uint8).argsort(dim=1, stable=True)
    index = index.gather(1, order).masked_fill(~real.gather(1, order), b * p + s * length)
    position = torch.arange(p + length, device=device).expand(s, -1)
    first = mask.sum(dim=1, keepdim=True) - 1
    row = torch.arange(s, device=device)[:, None] * (p + length)
    return Layout(index, position, None, row + first + torch.arange(length + 1, device=device))


def packed(
    prefix_mask: Bool[Tensor, "b p"], text_lengths: Int[Tensor, "b k"], length: int, size: int
) -> Layout:
    """Return a layout of sequences of about ``size`` tokens, each with several inputs.

    Args:
        prefix_mask: Where the prefixes are real.
        text_lengths: Number of tokens of each of the k texts of an input; 0 for none.
        length: Length t to which the texts are padded in the pool.
        size: Length of a sequence; longer ones hold a single input.
    """
    b, p = prefix_mask.shape
    k = text_lengths.shape[1]
    prefixes = [row.nonzero()[:, 0].tolist() for row in prefix_mask.cpu()]
    lengths = text_lengths.tolist()
    needed = [len(prefixes[i]) + sum(lengths[i]) for i in range(b)]
    bins = first_fit(needed, size)
    longest = max(sum(needed[i] for i in chosen) for chosen in bins)
    none = b * p + b * k * length
    index = torch.full((len(bins), longest), none)
    position = torch.zeros_like(index)
    owner = torch.full_like(index, PADDING)
    text = torch.full_like(index, PADDING)
    states = torch.zeros(b * k, length + 1, dtype=torch.long)
    for row, chosen in enumerate(bins):
        at = 0
        for i in chosen:
            start, n = at, len(prefixes[i])
            index[row, at : at + n] = i * p + torch.tensor(prefixes[i])
            position[row, at : at + n] = torch.arange(n)
            owner[row, at : at + n], text[row, at : at + n] = i, PREFIX
            at += n
            for j, m in enumerate(lengths[i]):
                where = slice(at, at + m)
                index[row, where] = b * p + (i * k + j) * length + torch.arange(m)
                position[row, where] = n + torch.arange(m)
                owner[row, where], text[row, where] = i, j
                states[i * k + j, 0] = row * longest + start + n - 1
                states[i * k + j, 1 : m + 1] = row * longest + torch.arange(at, at + m)
                at += m
    attended = block_causal(owner, text)
    device = prefix_mask.device
    return Layout(*(x.to(device) for x in (index, position, attended, states)))


def first_fit(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Return groups of indices whose sizes sum to at most ``limit``, the largest first.

    Sizes above the limit form groups of their own.
    """
    groups: list[list[int]] = []
    space: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        fitting = next((g for g, free in enumerate(space) if free >= sizes[i]), None)
        if fitting is None:
            groups.append([i])
            space.append(limit - sizes[i])
        else:
            groups[fitting].append(i)
            space[fitting] -= sizes[i]
    return groups


def block_causal(owner: Int[Tensor, "r l"], text: Int[Tensor, "r l"]) -> Bool[Tensor, "r 1 l l"]:
    """Return the attention of packed sequences: a token attends to the previous tokens of its own
    text and to its input's prefix. Padding attends to itself, so that its softmax is finite.
    """
    length = owner.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same_input = owner[:, :, None] == owner[:, None, :]
    same_text = (text[:, :, None] == text[:, None, :]) | (text[:, None, :] == PREFIX)
    return (causal & same_input & same_text)[:, None]
