"""Bind the constraints of generated texts to the vocabulary of a model."""

from typing import Any

from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.constraint.language import parts
from mmtx_cli.generation.limits import Limits
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
    head: Any
    for head in model.head.values():
        if hasattr(head, "generation") and tokenizer_json is not None:
            head.constraint = constraint_of(head, tokenizer_json)


def constraint_of(head: Any, tokenizer_json: str) -> Constraint | None:
    """Return the constraint in the settings of a head that generates text, if there is one.

    Args:
        head: The head.
        tokenizer_json: The tokenizer of its texts.

    Raises:
        ConfigError: As ``constrain``.
    """
    from tokenizers import Tokenizer

    if not any(parts(head.generation)):
        return None
    constraint = Constraint(head.generation, Tokenizer.from_str(tokenizer_json))
    limits = Limits(head.bos_id, head.eos_id, head.max_length).lowered(head.generation)
    constraint.check_length(limits.max_length - 1)
    return constraint
