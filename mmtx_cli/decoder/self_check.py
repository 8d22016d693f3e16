"""Checks that a language model's architecture gives the same results in every way it is run."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmtx_cli.layer.context import Context
from mmtx_cli.types import IGNORE_INDEX

TOKENS = ((0, 1, 1, 1), (0, 1, IGNORE_INDEX, IGNORE_INDEX))
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Largest difference as a share of the norm, by the type of the weights."""


def check_decoding(decoder: Any, config: Any) -> None:
    """Raise ValueError unless one token at a time gives the states of all tokens at once.

    It does not with recurrent layers that do not skip padding.

    Args:
        decoder: A decoder with a connector and a language model.
        config: Configuration of the language model.
    """

    def step_by_step(tokens: Tensor, context: Context) -> Tensor:
        state = decoder.start(context, 1, tokens.shape[1])
        columns = tokens.clamp(min=0).split(1, dim=1)
        states = [decoder.step(x, state, i) for i, x in enumerate(columns)]
        return decoder.logits(torch.cat(states, dim=1))  # type: ignore[no-any-return]

    def at_once(tokens: Tensor, context: Context) -> Tensor:
        return decoder.logits(decoder(tokens, context))  # type: ignore[no-any-return]

    if not same(decoder, at_once, step_by_step):
        raise ValueError(
            f"weights: {config.model_type} models generate other texts than they were trained on "
            "if samples lack a modality; choose a model with attention layers only"
        )


def check_packing(decoder: Any, config: Any) -> None:
    """Raise ValueError unless packed sequences give the same states as single ones.

    They do not with recurrent layers, or where an architecture builds its own attention mask.

    Args:
        decoder: A decoder with ``pack``, a connector and a language model.
        config: Configuration of the language model.
    """
    if decoder.connector.inserts_layers:
        raise ValueError("pack: this connector does not support it; remove it")
    window = getattr(config, "sliding_window", None) or decoder.pack
    if window < decoder.pack:
        raise ValueError(f"pack={decoder.pack}: longer than the model's sliding window, {window}")

    def packed(tokens: Tensor, context: Context) -> Tensor:
        decoder.training = True  # its parts stay in evaluation mode
        return decoder(tokens, context)  # type: ignore[no-any-return]

    if not same(decoder, decoder, packed):
        raise ValueError(f"pack={decoder.pack}: not exact with {config.model_type} models")


Run = Callable[[Tensor, Context], Tensor]


def same(decoder: Any, first: Run, second: Run) -> bool:
    """Return whether two ways to run a decoder give the same for two texts, one without context."""
    weight = next(decoder.connector.parameters())
    if weight.is_meta:
        return True
    tokens = torch.tensor(TOKENS, device=weight.device)
    x = torch.randn(2, 1, decoder.connector.context_width).to(weight)
    sizes = (1, *[0] * (decoder.connector.streams - 1))
    mask = torch.tensor([[True], [False]], device=weight.device)
    context = Context(x * mask[..., None], mask, streams=sizes)
    real, was_training = tokens != IGNORE_INDEX, decoder.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            decoder.eval()
            wanted, found = first(tokens, context)[real], second(tokens, context)[real]
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    finally:
        decoder.train(was_training)
    slack = TOLERANCE.get(decoder.lm.dtype, 1e-3)
    return bool((found.float() - wanted.float()).norm() <= slack * wanted.float().norm())
