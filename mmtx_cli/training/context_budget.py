"""Check before training that the longest sequence fits into a language model's context."""

from typing import Any

import numpy as np

from mmtx_cli.data.dataset import PROMPT
from mmtx_cli.data.manifest.table.facts import image_counts, present
from mmtx_cli.errors import ConfigError


def check_context_budget(model: Any, samples: Any, corpus: Any) -> None:
    """Raise ConfigError if the longest context, the longest prompt and a text of the maximum length
    exceed the positions of a head's decoder.

    Args:
        model: The model.
        samples: The training samples.
        corpus: The data, for the places of rows.
    """
    for head in model.head.values():
        decoder = getattr(head, "decoder", None)
        limit = getattr(decoder, "context_limit", None)
        if decoder is None or limit is None:
            continue
        context, context_place = longest_context(decoder, head.streams, samples, corpus)
        prompt, prompt_place = longest_prompt(decoder, samples, corpus)
        needed = context + prompt + head.max_length
        if needed > limit:
            section = "vlm" if decoder.reads_raw else "decoder"
            keys = "image_size, num_frames" if decoder.reads_raw else "connector.num_tokens"
            raise ConfigError(
                f"{section}: {needed} tokens ({context} of {context_place}, {prompt} of "
                f"{prompt_place}, max_length={head.max_length}) exceed the {limit} of this "
                f"language model; reduce {keys}, {section}.prompt or max_length"
            )


def longest_context(decoder: Any, streams: Any, samples: Any, corpus: Any) -> tuple[int, str]:
    """Return the number of context tokens of the row that has most, and its place."""
    if not decoder.reads_raw:
        return decoder.context_length(0, 0), "the context"
    frames = corpus.preparation.num_frames
    rows = samples.samples
    pictures = image_counts(rows) * ("image" in streams)
    films = present(rows, "video") * (frames * ("video" in streams))
    pairs, first = np.unique(np.stack([pictures, films], 1), axis=0, return_index=True)
    # in the order of the rows, of which the first with the most tokens is named
    kinds = {tuple(pairs[i].tolist()): rows[int(first[i])] for i in np.argsort(first)}
    lengths = {kind: decoder.context_length(*kind) for kind in kinds}
    longest = max(lengths, key=lambda kind: lengths[kind])
    shown = [f"{longest[0]} pictures"] * (longest[0] > 1) + [f"{frames} frames"] * (longest[1] > 0)
    what = " and ".join(shown) or "the picture"
    return lengths[longest], f"{what} of {corpus.manifest.where(kinds[longest])}"


def longest_prompt(decoder: Any, samples: Any, corpus: Any) -> tuple[int, str]:
    """Return the number of tokens of the longest prompt, and its place."""
    column = samples.texts.columns.get(PROMPT)
    if column is None:
        return decoder.prompt_length, "the prompt"
    lengths = column.lengths(column.first[:-1] * 0)
    row = int(lengths.argmax())
    place = corpus.manifest.where(samples.samples[row])
    return decoder.prompt_length + int(lengths[row]), f"the prompt of {place}"
