"""Probabilities of the words of a generated text."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Detokenizer(Protocol):
    """Converts tokens to text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""


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
    tokens = tokens[: tokens.index(eos)] if eos in tokens else tokens
    words = tokenizer.decode(tokens).split()
    totals = [0.0] * len(words)
    for i in range(len(tokens)):
        # a token belongs to the last word that it changes
        place = len(tokenizer.decode(tokens[: i + 1]).split()) - 1
        if words:
            totals[min(max(place, 0), len(words) - 1)] += log_probs[i]
    pairs = zip(words, totals, strict=True)
    return [{"word": word, "probability": round(math.exp(total), 4)} for word, total in pairs]


def text_row(
    tokens: Sequence[Sequence[int]],
    scores: Sequence[float],
    log_probs: Sequence[Sequence[float]] | None,
    key: str,
    eos: int,
    tokenizer: Detokenizer,
) -> dict[str, Any]:
    """Return the best text of an input under ``key``, its score, and the other ones.

    Args:
        tokens: Of the texts, the best first, padded with the end token.
        scores: Of the texts; -inf where there is none.
        log_probs: Of the tokens, if the probabilities of words are wanted.
        key: Key of the text.
        eos: ID of the end token.
        tokenizer: Converts tokens to text.
    """
    found: list[dict[str, Any]] = [
        {key: tokenizer.decode(text), "score": score}
        for text, score in zip(tokens, scores, strict=True)
    ]
    for row, text, values in zip(found, tokens, log_probs or (), strict=False):
        row["words"] = word_probabilities(text, values, eos, tokenizer)
    best, *others = found
    alternatives = [other for other in others if math.isfinite(other["score"])]
    return best | ({"alternatives": alternatives} if len(found) > 1 else {})
