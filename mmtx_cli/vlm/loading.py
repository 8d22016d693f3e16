"""Loading of published vision-language models, their processors and end tokens."""

from functools import lru_cache
from typing import Any

from torch import nn

from mmtx_cli.decoder.language_model import load_pretrained
from mmtx_cli.decoder.lm_tokenizer import lm_tokenizer
from mmtx_cli.hub.huggingface import (
    check_reads_pictures,
    model_config,
    quiet_logging,
    source_of,
    transformers,
    wrap_loading_errors,
)

PROCESSOR_FILES = "config.json, processor_config.json (or preprocessor_config.json) and tokenizer"


def load_model(weights: str, dtype: str) -> nn.Module:
    """Load a vision-language model.

    Raises:
        ValueError: If it cannot be read, or reads no pictures.
    """
    check_reads_pictures(weights)
    return load_pretrained(weights, dtype, "AutoModelForImageTextToText")


@lru_cache(maxsize=2)
def load_processor(weights: str) -> Any:
    """Load the processor of a model.

    Raises:
        ValueError: If it cannot be found, or has no tokenizer.
    """
    library, source = transformers(), source_of(weights)
    with wrap_loading_errors(weights, PROCESSOR_FILES), quiet_logging():
        processor = library.AutoProcessor.from_pretrained(source, trust_remote_code=False)
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise ValueError(f"weights={weights}: has no processor of pictures and texts")
    return processor


def end_token(weights: str) -> str | None:
    """Return the token with which a model ends a text; None for that of its tokenizer."""
    config = model_config(weights)
    text = config.get_text_config()
    if config.model_type == "blip":  # generates until [SEP]
        return str(lm_tokenizer(weights).convert_ids_to_tokens(text.sep_token_id))
    try:
        with quiet_logging():
            settings = transformers().GenerationConfig.from_pretrained(source_of(weights))
        ends = settings.eos_token_id
    except OSError:  # the file is optional
        ends = text.eos_token_id
    end = ends[0] if isinstance(ends, list) else ends
    return None if end is None else str(lm_tokenizer(weights).convert_ids_to_tokens(end))
