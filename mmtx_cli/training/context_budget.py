"""Check before training that the longest sequence fits into a language model's context."""

from typing import Any

from mmtx_cli.data.dataset import PROMPT
from mmtx_cli.errors import ConfigError


def check_context_budget(model: Any, samples: Any, corpus: Any) -> None:
    """Raise ConfigError if the context tokens, the longest prompt and a text of the maximum length
    exceed the positions of a head's decoder.

    Without a known number of context tokens, those of the other two are checked.

    Args:
        model: The model.
        samples: The training samples.
        corpus: The data, for the places of rows.
    """
    for head in model.head.values():
        limit = getattr(getattr(head, "decoder", None), "context_limit", None)
        if limit is None:
            continue
        context, prompt = head.decoder.context_tokens, head.decoder.prompt_length
        where = "the prompt"
        if (column := samples.texts.columns.get(PROMPT)) is not None:
            lengths = column.lengths(column.first[:-1] * 0)
            longest = int(lengths.argmax())
            prompt += int(lengths[longest])
            where = f"the prompt of {corpus.manifest.where(samples.samples[longest])}"
        needed = (context or 0) + prompt + head.max_length
        if needed > limit:
            is_published = head.decoder.reads_raw
            section = "vlm" if is_published else "decoder"
            context_key = "image_size" if is_published else "connector.num_tokens"
            raise ConfigError(
                f"{section}: {needed} tokens ({context or 0} of the context, {prompt} of {where}, "
                f"max_length={head.max_length}) exceed the {limit} of this language model; reduce "
                f"{context_key}, {section}.prompt or max_length"
            )
