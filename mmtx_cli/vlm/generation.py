"""Texts that a vision-language model generates by the generation of the transformers library."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.constraint.tracker import Tracker
from mmtx_cli.generation.limits import Limits, num_beams
from mmtx_cli.generation.texts import Texts, gather_rows
from mmtx_cli.hub.huggingface import quiet_logging
from mmtx_cli.vlm.constrained import ConstraintProcessor
from mmtx_cli.vlm.sequence import begins_with_bos

PLACEHOLDERS = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")


def generation_settings(
    model: Any, own: GenerationSettings, limits: Limits, constraint: Constraint | None = None
) -> dict[str, Any]:
    """Return the arguments of ``generate``, until an end token of the model or the usual one.

    All others are those of the model. Placeholders of pictures are not generated.

    Args:
        model: The model.
        own: The settings.
        limits: Of the texts.
        constraint: What the texts must satisfy.
    """
    stop = model.generation_config.eos_token_id
    ends = {limits.eos, *(stop if isinstance(stop, list) else [] if stop is None else [stop])}
    found = (getattr(model.config, name, None) for name in PLACEHOLDERS)
    never = sorted({token for token in found if token is not None})
    most = limits.lowered(own).max_length - 1
    sampling = ("temperature", "top_p", "top_k", "min_p")
    return {
        "num_beams": num_beams(own),
        "num_return_sequences": own.num_return_sequences,
        "max_new_tokens": most + begins_with_bos(model),
        "length_penalty": own.length_penalty,
        "early_stopping": own.early_stopping,
        "do_sample": own.do_sample,
        **{key: getattr(own, key) if own.do_sample else None for key in sampling},
        "repetition_penalty": own.repetition_penalty,
        "no_repeat_ngram_size": own.no_repeat_ngram_size,
        "min_new_tokens": own.min_new_tokens + begins_with_bos(model) * bool(own.min_new_tokens),
        "max_length": None,
        "eos_token_id": sorted(ends),
        "pad_token_id": limits.eos,
        **({"suppress_tokens": never} if never else {}),
    }


def generated_texts(
    model: Any,
    arguments: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    limits: Limits,
    tracker: Tracker | None = None,
) -> Texts:
    """Return the generated texts of each input.

    The score is the log-probability divided by length ** ``length_penalty``; the length includes
    EOS.

    Args:
        model: The model.
        arguments: Of the model, padded on the left.
        settings: Of ``generate``.
        limits: Of the texts.
        tracker: Follows a constraint.
    """
    arguments, settings = dict(arguments), dict(settings)
    ends = torch.tensor(settings["eos_token_id"], device=model.device)
    start = 1 if model.config.is_encoder_decoder else arguments["input_ids"].shape[1]
    if model.config.model_type == "blip":  # its generate drops an end token and sets these itself
        for name, value in (("input_ids", limits.eos), ("attention_mask", 1)):
            arguments[name] = F.pad(arguments[name], (0, 1), value=value)
        del settings["eos_token_id"], settings["pad_token_id"]
    if tracker is not None:
        processor = ConstraintProcessor(tracker, start, int(begins_with_bos(model)))
        settings["logits_processor"] = [processor]
    has_beams = settings["num_beams"] > 1
    outputs = "output_scores" if has_beams else "output_logits"
    with quiet_logging():
        found = model.generate(
            **arguments, **settings, return_dict_in_generate=True, **{outputs: True}
        )
    steps = found.scores if has_beams else found.logits
    beams = found.beam_indices if has_beams else None
    log_probs = model.compute_transition_scores(
        found.sequences, steps, beams, normalize_logits=not has_beams
    )
    tokens = found.sequences[:, start:]
    if begins_with_bos(model):
        tokens, log_probs = tokens[:, 1:], log_probs[:, 1:]
    count = (~torch.isin(tokens, ends)).long().cumprod(dim=1).sum(dim=1)  # up to the end token
    place = torch.arange(tokens.shape[1], device=tokens.device)
    tokens = tokens.masked_fill(place >= count[:, None], limits.eos)
    length = (count + 1).clamp(max=log_probs.shape[1])
    log_probs = log_probs.masked_fill(place[: log_probs.shape[1]] >= length[:, None], 0)
    scores = log_probs.sum(dim=1) / length ** settings["length_penalty"]
    several = settings["num_return_sequences"]
    padding = limits.max_length - tokens.shape[1]
    tokens = F.pad(tokens, (0, padding), value=limits.eos).view(-1, several, limits.max_length)
    log_probs = F.pad(log_probs, (0, limits.max_length - log_probs.shape[1]))
    scores, order = scores.view(-1, several).sort(dim=1, descending=True, stable=True)
    log_probs = gather_rows(log_probs.view_as(tokens), order)
    return Texts(gather_rows(tokens, order), scores, log_probs)
