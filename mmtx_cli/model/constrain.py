"""Bind the constraints of generated texts to the vocabulary of a model."""

from typing import Any

from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.constraint.language import parts
from mmtx_cli.generation.make import limited
from mmtx_cli.generation.texts import Limits
from mmtx_cli.model.multimodal import MultimodalModel


def constrain(model: MultimodalModel, tokenizer_json: str | None) -> None:
    """Prepare the constraints in the settings of the heads that generate text.

    Args:
        model: The model.
        tokenizer_json: Its tokenizer.

    Raises:
        ConfigError: If they are invalid, contradict each other, or no text of at most the maximum
            length satisfies them.
    """
    from tokenizers import Tokenizer

    head: Any
    for head in model.head.values():
        settings = getattr(head, "generation", None)
        if settings is None or tokenizer_json is None or not any(parts(settings)):
            continue
        head.constraint = Constraint(settings, Tokenizer.from_str(tokenizer_json))
        limits = limited(settings, Limits(head.bos_id, head.eos_id, head.max_length))
        head.constraint.check_length(limits.max_length - 1)
