"""Tokenizers of pretrained language models."""

from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from mmtx_cli.decoder.language_model import location
from mmtx_cli.hub.huggingface import quiet_logging, transformers, wrap_loading_errors


@lru_cache(maxsize=2)
def lm_tokenizer(weights: str) -> Any:
    """Return the transformers tokenizer of a model.

    Raises:
        ValueError: If it cannot be found, or is not one of the tokenizers library.
    """
    library, arguments = transformers(), location(weights)
    with wrap_loading_errors(weights, "tokenizer.json"), quiet_logging():
        tokenizer = library.AutoTokenizer.from_pretrained(**arguments, trust_remote_code=False)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ValueError(f"weights={weights}: its tokenizer has no tokenizer.json")
    return tokenizer


def target_tokenizer_json(weights: str, eos: str | None = None) -> str:
    """Return the model's ``tokenizer.json`` with a template that adds BOS and EOS to every text.

    Models without a BOS token begin with EOS, as when they were trained on documents that follow
    each other.

    Args:
        weights: The model.
        eos: The end token, by default the tokenizer's own.

    Raises:
        ValueError: If there is no end token, or it is not in the vocabulary.
    """
    tokenizer = lm_tokenizer(weights)
    eos = eos or tokenizer.eos_token
    if eos is None:
        raise ValueError(
            f"weights={weights}: its tokenizer has no end token; choose one of its vocabulary with "
            "eos"
        )
    bos = tokenizer.bos_token or eos
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    ids = {token: backend.token_to_id(token) for token in (bos, eos)}
    if ids[eos] is None:
        raise ValueError(f"eos={eos!r}: not in the vocabulary of {weights}")
    backend.post_processor = TemplateProcessing(
        single=[bos, "$A", eos], special_tokens=[*ids.items()]
    )
    return str(backend.to_str())


def prompt_parts(weights: str, prompt: str, chat: bool) -> tuple[str, str]:
    """Return the texts before and after the context tokens.

    Args:
        weights: The model.
        prompt: The text that follows the context.
        chat: Whether the context and the prompt are the user's turn in the tokenizer's chat
            template, to which the model replies. Otherwise, nothing stands before the context.

    Raises:
        ValueError: If the tokenizer has no chat template.
    """
    if not chat:
        return "", prompt
    tokenizer = lm_tokenizer(weights)
    if tokenizer.chat_template is None:
        raise ValueError(f"chat=true: the tokenizer of {weights} has no chat template")
    place = "\N{OBJECT REPLACEMENT CHARACTER}"
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": place + prompt}], tokenize=False, add_generation_prompt=True
    )
    before, _, after = text.partition(place)
    return before, after


def encode_prompt(
    weights: str, prompt: str, chat: bool, bos_id: int
) -> tuple[list[int], list[int]]:
    """Return the token IDs before and after the context tokens.

    Args:
        weights: The model.
        prompt: The text that follows the context.
        chat: As in ``prompt_parts``. Without it, BOS stands before the context.
        bos_id: ID of the begin token.
    """
    tokenizer = lm_tokenizer(weights)
    before, after = (
        tokenizer(part, add_special_tokens=False).input_ids if part else []
        for part in prompt_parts(weights, prompt, chat)
    )
    return before or [bos_id], after
