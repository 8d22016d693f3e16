"""Diversity of generated captions for ``result.json``, with a warning on standard error."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from mmtx_cli.io.console import make_console
from mmtx_cli.metric.diversity import caption_diversity, input_diversity

MIN_INPUTS = 4
"""Minimum number of captions without references for which diversity is reported."""


def evaluated_diversity(
    results: Mapping[str, tuple[Any, Sequence[Mapping[str, Any]], Any]],
    training: Sequence[Any],
    complete: bool,
) -> dict[str, dict[str, Any]]:
    """Return the diversity of the captions of each captioning head, by head name.

    Args:
        results: Samples, rows of ``predictions.jsonl`` and scores by head.
        training: The training samples of the data.
        complete: Whether no modality was removed.
    """
    captioned = {
        name: rows
        for name, (_, rows, _) in results.items()
        if rows and all("caption" in row and row.get("references") for row in rows)
    }
    if not captioned:
        return {}
    training_captions = [caption for row in training for caption in row.captions]
    return {
        name: caption_diversity(
            [row["caption"] for row in rows],
            [row["references"][0] for row in rows],
            training_captions,
            complete,
        )
        for name, rows in captioned.items()
    }


def captioned_diversity(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the diversity of the rows of ``captions.jsonl``, None if there are too few."""
    read = [row for row in rows if "caption" in row]
    if len(read) < MIN_INPUTS:
        return None
    return input_diversity([row["caption"] for row in read], len({row["path"] for row in read}))


def print_warnings(diversity: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the warnings of all heads on standard error."""
    console = make_console(stderr=True, soft_wrap=True)
    for figures in diversity.values():
        if "warning" in figures:  # as ``Text``: captions are not markup
            console.print(Text(f"warning: {figures['warning']}", style="bold red"))
