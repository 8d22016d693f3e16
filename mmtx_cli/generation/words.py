"""Probabilities of the words of a generated text."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from mmtx_cli.generation.constraint.constraint import Constraint


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


def text_row(
    tokens: Sequence[Sequence[int]],
    scores: Sequence[float],
    log_probs: Sequence[Sequence[float]] | None,
    key: str,
    eos: int,
    tokenizer: Detokenizer,
    constraint: Constraint | None = None,
) -> dict[str, Any]:
    """Return the best text of an input under ``key``, its score, and the other ones.

    Args:
        tokens: Of the texts, the best first, padded with the end token.
        scores: Of the texts; -inf where there is none.
        log_probs: Of the tokens, if the probabilities of words are wanted.
        key: Key of the text.
        eos: ID of the end token.
        tokenizer: Converts tokens to text.
        constraint: What the texts must satisfy; those that they do not are listed as ``unmet``.
    """
    found: list[dict[str, Any]] = [
        {key: tokenizer.decode(text), "score": score}
        for text, score in zip(tokens, scores, strict=True)
    ]
    for row, text, values in zip(found, tokens, log_probs or (), strict=False):
        row["words"] = word_probabilities(text, values, eos, tokenizer)
    if constraint is not None:
        for row in found:
            if unmet := constraint.unmet(row[key]):
                row["unmet"] = unmet
            row[key] = constraint.spelling.get(row[key], row[key])
    best, *others = found
    if constraint is not None:  # one text can be spelled with different tokens
        texts = [row[key] for row in found]
        others = [row for i, row in enumerate(others, 1) if row[key] not in texts[:i]]
    alternatives = [other for other in others if math.isfinite(other["score"])]
    return best | ({"alternatives": alternatives} if len(found) > 1 else {})
