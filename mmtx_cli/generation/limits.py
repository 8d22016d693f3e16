"""Limits of generated texts, and what follows from the settings alone."""

from dataclasses import dataclass, replace

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.generation.constraint.constraint import Constraint

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
