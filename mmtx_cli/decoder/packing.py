"""Check that texts may be packed into one sequence."""

from typing import Any

import torch

from mmtx_cli.layer.context import Context
from mmtx_cli.types import IGNORE_INDEX

TOKENS = ((0, 1, 1, 1), (0, 1, IGNORE_INDEX, IGNORE_INDEX))


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
    weight = next(decoder.connector.parameters())
    tokens = torch.tensor(TOKENS, device=weight.device)
    x = torch.randn(2, 1, decoder.connector.context_width).to(weight)
    sizes = (1, *[0] * (decoder.connector.streams - 1))
    context = Context(x, torch.ones_like(x[..., 0], dtype=torch.bool), streams=sizes)
    pack, was_training = decoder.pack, decoder.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            decoder.eval()
            wanted = decoder(tokens, context)[tokens != IGNORE_INDEX]
            decoder.training = True  # its parts stay in evaluation mode
            found = decoder(tokens, context)[tokens != IGNORE_INDEX]
        is_exact = weight.is_meta or bool((found - wanted).norm() <= 1e-3 * wanted.norm())
    except (RuntimeError, ValueError, TypeError, IndexError):
        is_exact = False
    finally:
        decoder.train(was_training)
    if not is_exact:
        raise ValueError(f"pack={pack}: not exact with {config.model_type} models; remove it")
