"""Texts behind the prompts of a vision-language model."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from mmtx_cli.types import IGNORE_INDEX

TEXT_TYPE = {"paligemma": 1}
"""Value of ``token_type_ids`` of generated text, by ``model_type``; 0 for others."""
BY_TOKEN = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "mm_token_type_ids",
    "cross_attention_mask",
)
"""Arguments with a value for each token."""


def extended(
    arguments: Mapping[str, Tensor], words: Int[Tensor, "s t"], model_type: str
) -> dict[str, Tensor]:
    """Return the arguments of a model with ``words`` behind each prompt, which is padded right.

    Args:
        arguments: For the prompts, with ``input_ids`` and ``attention_mask``.
        words: The texts, padded with IGNORE_INDEX.
        model_type: Of the model.
    """
    ids = arguments["input_ids"]
    assert arguments["attention_mask"][:, 0].all(), "prompts must be padded on the right"
    lengths, count = arguments["attention_mask"].sum(dim=1), words.shape[1]
    place = lengths[:, None] + torch.arange(count, device=ids.device)
    real = words != IGNORE_INDEX
    found = dict(arguments)
    for name, x in arguments.items():
        if name not in BY_TOKEN:
            continue
        longer = torch.cat([x, x.new_zeros(len(x), count, *x.shape[2:])], dim=1)
        if name == "input_ids":
            new = words.where(real, 0)
        elif name == "attention_mask":
            new = real.to(x)
        elif x.dim() == 2:
            new = real.to(x) * (TEXT_TYPE.get(model_type, 0) if name == "token_type_ids" else 0)
        else:  # which pictures a token attends to: those of the last token of the prompt
            last = x[torch.arange(len(x), device=x.device), lengths - 1]
            new = last[:, None].expand(-1, count, *last.shape[1:])
        index = place.view(*place.shape, *[1] * (x.dim() - 2)).expand_as(new)
        found[name] = longer.scatter(1, index, new.to(x))
    return found


def begins_with_bos(model: Any) -> bool:
    """Return whether a model generates BOS before every text (BART)."""
    forced = model.generation_config.forced_bos_token_id
    return model.config.is_encoder_decoder and forced is not None


def decoder_input(model: Any, tokens: Int[Tensor, "s t"]) -> Int[Tensor, "s u"]:
    """Return the input of the decoder of an encoder-decoder model.

    BOS is a token of its own for models that always begin with it (BART); otherwise the start token
    stands for it.
    """
    start = model.generation_config.decoder_start_token_id
    if start is None:
        start = model.config.get_text_config().decoder_start_token_id
    rest = tokens if begins_with_bos(model) else tokens[:, 1:]
    return torch.cat([torch.full_like(tokens[:, :1], start), rest.clamp(min=0)], dim=1)
