"""Texts that a vision-language model generates by the generation of the transformers library."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.hub.huggingface import quiet_logging
from mmtx_cli.vlm.sequence import begins_with_bos

PLACEHOLDERS = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")


def generation_settings(
    model: Any, num_beams: int, max_length: int, length_penalty: float, eos: int
) -> dict[str, Any]:
    """Return settings that decode without sampling until an end token of the model or ``eos``.

    All others are those of the model. Placeholders of pictures are not generated.

    Args:
        model: The model.
        num_beams: Beams per input.
        max_length: Number of tokens with BOS and EOS.
        length_penalty: Exponent of the length in the score.
        eos: ID of the end token.
    """
    own = model.generation_config.eos_token_id
    ends = {eos, *(own if isinstance(own, list) else [] if own is None else [own])}
    found = (getattr(model.config, name, None) for name in PLACEHOLDERS)
    never = sorted({token for token in found if token is not None})
    return {
        "num_beams": num_beams,
        "max_new_tokens": max_length - 1 + begins_with_bos(model),
        "length_penalty": length_penalty,
        "do_sample": False,
        "temperature": None,
        "top_p": None,
        "top_k": None,
        "max_length": None,
        "eos_token_id": sorted(ends),
        "pad_token_id": eos,
        **({"suppress_tokens": never} if never else {}),
    }


def generated_tokens(
    model: Any, arguments: Mapping[str, Tensor], settings: Mapping[str, Any], eos: int
) -> tuple[Int[Tensor, "b t"], Float[Tensor, " b"]]:
    """Return the generated text of each input, padded with EOS, and its score.

    The score is the log-probability divided by length ** ``length_penalty``; the length includes
    EOS.

    Args:
        model: The model.
        arguments: Of the model, padded on the left.
        settings: Of ``generate``.
        eos: ID of the end token.
    """
    arguments, settings = dict(arguments), dict(settings)
    ends = torch.tensor(settings["eos_token_id"], device=model.device)
    start = 1 if model.config.is_encoder_decoder else arguments["input_ids"].shape[1]
    if model.config.model_type == "blip":  # its generate drops an end token and sets these itself
        for name, value in (("input_ids", eos), ("attention_mask", 1)):
            arguments[name] = F.pad(arguments[name], (0, 1), value=value)
        del settings["eos_token_id"], settings["pad_token_id"]
    is_greedy = settings["num_beams"] == 1
    outputs = "output_logits" if is_greedy else "output_scores"
    with quiet_logging():
        found = model.generate(
            **arguments, **settings, return_dict_in_generate=True, **{outputs: True}
        )
    steps = found.logits if is_greedy else found.scores
    beams = None if is_greedy else found.beam_indices
    scores = model.compute_transition_scores(
        found.sequences, steps, beams, normalize_logits=is_greedy
    )
    tokens = found.sequences[:, start:]
    if begins_with_bos(model):
        tokens, scores = tokens[:, 1:], scores[:, 1:]
    count = (~torch.isin(tokens, ends)).long().cumprod(dim=1).sum(dim=1)  # up to the end token
    place = torch.arange(tokens.shape[1], device=tokens.device)
    tokens = tokens.masked_fill(place >= count[:, None], eos)
    length = (count + 1).clamp(max=scores.shape[1])
    total = scores.masked_fill(place[: scores.shape[1]] >= length[:, None], 0).sum(dim=1)
    return tokens, total / length ** settings["length_penalty"]
