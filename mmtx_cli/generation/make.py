"""The search method that the settings choose."""

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.generation.beam import BeamSearch
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.constraint.tracker import Tracker
from mmtx_cli.generation.contrastive import ContrastiveSearch
from mmtx_cli.generation.limits import Limits, chosen_rules, num_beams
from mmtx_cli.generation.method import Method
from mmtx_cli.generation.rowwise import Greedy, Sampling
from mmtx_cli.generation.rules import BadWords, MinLength, NoRepeatNgram, RepetitionPenalty, Rule

CANDIDATES = 4


def make_method(
    settings: GenerationSettings, limits: Limits, constraint: Constraint | None = None
) -> Method:
    """Return the search method.

    Args:
        settings: The settings.
        limits: Of the texts of the model.
        constraint: What the texts must satisfy.

    Raises:
        ConfigError: If no text of at most the maximum length satisfies the constraint.
    """
    limits = limits.lowered(settings)
    rules: list[Rule] = chosen_rules(
        settings, limits.eos, RepetitionPenalty, NoRepeatNgram, MinLength
    )
    if constraint is not None and constraint.avoided:
        rules.append(BadWords(constraint.avoided))
    tracker = make_tracker(constraint, limits)
    penalty, texts = settings.length_penalty, settings.num_return_sequences
    if settings.penalty_alpha is not None:
        candidates = settings.top_k or CANDIDATES
        return ContrastiveSearch(
            limits, settings.penalty_alpha, candidates, penalty, rules, tracker
        )
    if settings.do_sample:
        return Sampling(
            limits,
            penalty,
            texts,
            settings.temperature,
            settings.top_k,
            settings.top_p,
            settings.min_p,
            rules,
            tracker,
        )
    beams = num_beams(settings, constraint)
    if beams == 1:
        return Greedy(limits, penalty, rules=rules, tracker=tracker)
    return BeamSearch(
        limits,
        beams,
        penalty,
        settings.early_stopping,
        settings.num_beam_groups,
        settings.diversity_penalty,
        texts,
        rules,
        tracker,
    )


def make_tracker(constraint: Constraint | None, limits: Limits) -> Tracker | None:
    """Return what follows texts of limited length through a constraint, if there is one."""
    if constraint is None:
        return None
    return Tracker(constraint, limits.eos, limits.max_length - 1)
