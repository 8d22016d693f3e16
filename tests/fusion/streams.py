"""Streams for tests of single fusions."""

import torch

from mmtx_cli.types import Streams, Tokens

DIM = 8
TEXT = (3, 2, 0, 0)
IMAGE = (2, 0, 2, 0)
"""Tokens of each sample: both modalities, either, none."""


def streams(**counts: tuple[int, ...]) -> Streams:
    """Random tokens in double precision; by default of a text and an image."""
    result = {}
    for name, numbers in (counts or {"text": TEXT, "image": IMAGE}).items():
        mask = torch.arange(max(1, *numbers)) < torch.tensor(numbers)[:, None]
        x = torch.randn(*mask.shape, DIM, dtype=torch.float64)
        result[name] = Tokens(x * mask[..., None], mask)
    return result


def moved(original: Streams, name: str) -> Streams:
    """The streams with other content in one of them."""
    tokens = original[name]
    return {**original, name: Tokens(tokens.x + torch.randn(DIM).double(), tokens.mask)}


def mean(tokens: Tokens, sample: int) -> torch.Tensor:
    """Mean of the real tokens of one sample."""
    return tokens.x[sample, tokens.mask[sample]].mean(dim=0)
