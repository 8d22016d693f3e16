"""Repetition within a caption, as words or as tokens of a model."""

from collections.abc import Hashable, Sequence
from itertools import pairwise

REPEATED_ORDER = 3
"""Number of words of the sequences that a caption should not contain twice."""
REPEATED_CHARACTERS = {"zh": 5, "ja": 6}
"""The same where captions are characters, by language: about three words."""
_REPEATED_LETTERS = 10
"""The same for alphabets and syllabaries with marks, such as Thai."""


def repeated_order(language: str, of_characters: bool) -> int:
    """Return the length, in tokens, of the sequences that a caption should not contain twice.

    Three characters are often one word, with its particle, which may well come twice.
    """
    if not of_characters:
        return REPEATED_ORDER
    return REPEATED_CHARACTERS.get(language.split("-")[0], _REPEATED_LETTERS)


def repetition(text: Sequence[Hashable]) -> float:
    """Return the share of the pairs of adjacent words that occur before; 0 for a short text.

    This is seq-rep-2 of Welleck et al. (2020, arXiv:1908.04319, section 6).
    """
    pairs = list(pairwise(text))
    return 1 - len({*pairs}) / len(pairs) if pairs else 0.0


def repeats(text: Sequence[Hashable], order: int = REPEATED_ORDER) -> bool:
    """Return whether a text contains a sequence of ``order`` words twice."""
    words = tuple(text)
    sequences = [words[at : at + order] for at in range(len(words) - order + 1)]
    return len({*sequences}) < len(sequences)
