"""Probabilities of the words of a generated text."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Detokenizer(Protocol):
    """Converts tokens to text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""


def word_places(
    tokens: Sequence[int], eos: int, tokenizer: Detokenizer
) -> list[tuple[str, list[int]]]:
    """Return each word, separated by spaces, with the places of its tokens.

    Args:
        tokens: Of the text, padded with the end token.
        eos: ID of the end token, which belongs to no word.
        tokenizer: Converts them to text.
    """
    tokens = tokens[: tokens.index(eos)] if eos in tokens else tokens
    words = tokenizer.decode(tokens).split()
    found: list[tuple[str, list[int]]] = [(word, []) for word in words]
    for i in range(len(tokens)):
        # a token belongs to the last word that it changes
        place = len(tokenizer.decode(tokens[: i + 1]).split()) - 1
        if words:
            found[min(max(place, 0), len(words) - 1)][1].append(i)
    return found


def word_probabilities(
    tokens: Sequence[int], log_probs: Sequence[float], eos: int, tokenizer: Detokenizer
) -> list[dict[str, Any]]:
    """Return each word, separated by spaces, with the product of its tokens' probabilities.

    Args:
        tokens: Of the text, padded with the end token.
        log_probs: Of the tokens.
        eos: ID of the end token, which belongs to no word.
        tokenizer: Converts them to text.
    """
    return [
        {"word": word, "probability": round(math.exp(sum(log_probs[i] for i in places)), 4)}
        for word, places in word_places(tokens, eos, tokenizer)
    ]
