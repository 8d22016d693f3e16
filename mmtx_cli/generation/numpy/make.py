"""The search method that the settings choose, without torch."""

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.errors import ConfigError
from mmtx_cli.generation.constraint.language import parts
from mmtx_cli.generation.limits import Limits, chosen_rules, num_beams
from mmtx_cli.generation.numpy.beam import BeamSearch
from mmtx_cli.generation.numpy.method import Method
from mmtx_cli.generation.numpy.rowwise import Greedy, Sampling
from mmtx_cli.generation.numpy.rules import MinLength, NoRepeatNgram, RepetitionPenalty, Rule


def make_method(settings: GenerationSettings, limits: Limits) -> Method:
    """Return the search method.

    Args:
        settings: The settings.
        limits: Of the texts of the model.

    Raises:
        ConfigError: for contrastive search, which needs the hidden states of the decoder, and for
            constraints.
    """
    if names := [name.partition("=")[0] for name, _ in parts(settings)]:
        raise ConfigError(
            f"{', '.join(dict.fromkeys(names))}: not supported with an ONNX model; remove it (a "
            "setting of the model itself: set it to null or []), or use the model that was exported"
        )
    if settings.penalty_alpha is not None:
        raise ConfigError(
            "generation.penalty_alpha: contrastive search is not supported with an ONNX model; "
            "set generation.penalty_alpha=null for beam search or generation.do_sample=true, or "
            "use the model that was exported"
        )
    limits = limits.lowered(settings)
    rules: list[Rule] = chosen_rules(
        settings, limits.eos, RepetitionPenalty, NoRepeatNgram, MinLength
    )
    penalty, texts = settings.length_penalty, settings.num_return_sequences
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
        )
    beams = num_beams(settings)
    if beams == 1:
        return Greedy(limits, penalty, rules=rules)
    return BeamSearch(
        limits,
        beams,
        penalty,
        settings.early_stopping,
        settings.num_beam_groups,
        settings.diversity_penalty,
        texts,
        rules,
    )
