"""Captions that are longer than a model reads: in pieces of about equal length."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from mmtx_cli.errors import ConfigError


def pieces(text: str, limit: int, lengths: Callable[[Sequence[str]], Sequence[int]]) -> list[str]:
    """Return a text in the fewest pieces of about equally many words, none longer than ``limit``.

    A text without spaces is split between characters.

    Args:
        text: The text.
        limit: Largest number of tokens of a piece, as ``lengths`` counts them.
        lengths: Returns the number of tokens of each text, with whatever is put before it.

    Raises:
        ConfigError: if not even one character fits.
    """
    if lengths([text])[0] <= limit:
        return [text]
    words, joint = text.split(), " "
    count = 2
    while True:
        if count > len(words) and joint:
            words, joint, count = list(text), "", 2
        if count > len(words):
            raise ConfigError(
                f"the model reads {limit} tokens, in which not even one character of a caption "
                "fits; use another model or a shorter clipscore.prefix"
            )
        parts = [joint.join(part) for part in _evenly(words, count)]
        if max(lengths(parts)) <= limit:
            return parts
        count += 1


def _evenly(words: Sequence[str], count: int) -> list[Sequence[str]]:
    """Split a list into ``count`` parts whose lengths differ by at most 1."""
    ends = [len(words) * i // count for i in range(count + 1)]
    return [words[a:b] for a, b in pairwise(ends)]
