"""Limits of generated texts, and what follows from the settings alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.generation.constraint.constraint import Constraint

Rule = TypeVar("Rule")

DEFAULT_BEAMS, MOST_BEAMS = 3, 16


@dataclass(frozen=True)
class Limits:
    """The first and last token of a text, and the largest number of tokens between and with EOS.

    Args:
        bos: ID of the begin token.
        eos: ID of the end token.
        max_length: Number of tokens of a text, of which the last is always ``eos``.
    """

    bos: int
    eos: int
    max_length: int

    def lowered(self, settings: GenerationSettings) -> "Limits":
        """Return the limits with ``max_new_tokens``, if it is lower."""
        if settings.max_new_tokens is None:
            return self
        return replace(self, max_length=min(self.max_length, settings.max_new_tokens + 1))


def num_beams(settings: GenerationSettings, constraint: Constraint | None = None) -> int:
    """Return the number of beams; 1 for methods without beams.

    Required words need more, since beams that lack different numbers of tokens share them.
    """
    if settings.do_sample or settings.penalty_alpha is not None:
        return 1
    default = DEFAULT_BEAMS
    if constraint is not None and constraint.seeks:
        default = max(default, min(2 * constraint.shortest, MOST_BEAMS))
    return settings.num_beams or max(default, settings.num_return_sequences)


def chosen_rules(
    settings: GenerationSettings,
    eos: int,
    repetition: Callable[[float], Rule],
    no_repeat: Callable[[int], Rule],
    min_length: Callable[[int, int], Rule],
) -> list[Rule]:
    """Return the rules for the scores of tokens that the settings choose, in the order of
    transformers.

    Args:
        settings: The settings.
        eos: The end token.
        repetition: Makes the rule of ``repetition_penalty``, with torch or NumPy.
        no_repeat: Makes the rule of ``no_repeat_ngram_size``.
        min_length: Makes the rule of ``min_new_tokens``.
    """
    rules: list[Rule] = []
    if settings.repetition_penalty != 1.0:
        rules.append(repetition(settings.repetition_penalty))
    if settings.no_repeat_ngram_size:
        rules.append(no_repeat(settings.no_repeat_ngram_size))
    if settings.min_new_tokens:
        rules.append(min_length(settings.min_new_tokens, eos))
    return rules
