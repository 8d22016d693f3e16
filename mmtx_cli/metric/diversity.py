"""Diversity of a set of captions, and a check for models that give most inputs the same caption."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mmtx_cli.io.unicode import composed

LIMIT = 0.5
"""A caption shared by more than this fraction of the samples triggers a warning."""

_SHOWN = 120  # maximum length of a caption in a message
_ADVICE = (
    "train longer or with another learning rate, check that the files are readable "
    "(quarantine.jsonl) and match their captions"
)


def normalized(caption: str) -> str:
    """Return the form in which captions are compared: NFC, case-folded, single spaces."""
    # case folding can produce text that is not NFC, so normalization comes last
    return " ".join(composed(caption.casefold()).split())


def unspaced(key: str) -> str:
    """Return a normalized caption without white space and zero-width spaces, which do not matter in
    languages that do not separate words: some tools write them between words.
    """
    return "".join(key.split()).replace("\u200b", "")


def diversity(captions: Sequence[str]) -> dict[str, Any]:
    """Return how often captions repeat, compared in their normalized form.

    The result is JSON-compatible: ``count``, ``distinct``, ``distinct_share``, ``most_frequent``
    (as first written; ties are broken by order), ``most_frequent_count`` and
    ``most_frequent_share``. Shares are in [0, 1]. Raises ValueError if ``captions`` is empty.
    """
    if not captions:
        raise ValueError("no captions given")
    counts: Counter[str] = Counter()
    written: dict[str, str] = {}
    for caption in captions:
        key = normalized(caption)
        counts[key] += 1
        written.setdefault(key, caption)
    (key, frequency), *_ = counts.most_common(1)
    return {
        "count": len(captions),
        "distinct": len(counts),
        "distinct_share": len(counts) / len(captions),
        "most_frequent": written[key],
        "most_frequent_count": frequency,
        "most_frequent_share": frequency / len(captions),
    }


def copies(captions: Sequence[str], others: Iterable[str]) -> dict[str, Any]:
    """Return how many ``captions`` also occur in ``others``, compared in their normalized form.

    The result is JSON-compatible: ``in_training_count``, ``in_training_share`` (of all captions)
    and ``distinct_in_training`` (each distinct caption counted once).
    """
    counts = Counter(map(normalized, captions))
    shared = counts.keys() & {normalized(other) for other in others}
    count = sum(counts[key] for key in shared)
    return {
        "in_training_count": count,
        "in_training_share": count / len(captions),
        "distinct_in_training": len(shared),
    }


def caption_diversity(
    captions: Sequence[str],
    references: Sequence[str],
    training: Iterable[str] = (),
    complete: bool = True,
) -> dict[str, Any]:
    """Return the diversity of captions and of their references, JSON-compatible.

    Args:
        captions: The generated captions, one per sample; at least one.
        references: The first reference of each sample; their diversity is ``references``.
        training: Training captions. If given, the result of ``copies`` is included.
        complete: Whether the model was given all modalities. Only then a ``warning`` is added if
            more than half of the samples have the same caption and the references differ.
    """
    result = diversity(captions) | {"references": diversity(references)}
    if training := list(training):
        result |= copies(captions, training)
    share = result["references"]["most_frequent_share"]
    if complete and result["most_frequent_share"] > LIMIT and share <= LIMIT:
        result["warning"] = (
            f"{repeated(result, 'samples')}; the most frequent reference covers {100 * share:.0f} "
            f"% of them: the model ignores its input. {_ADVICE[0].upper()}{_ADVICE[1:]}, and "
            "measure the importance of each modality (modality_importance=true)."
        )
    return result


def input_diversity(captions: Sequence[str], num_inputs: int) -> dict[str, Any]:
    """Return the diversity of captions without references, JSON-compatible.

    A ``warning`` is added if more than half of the captions are the same and ``num_inputs``, the
    number of distinct files, is at least 8.
    """
    result = diversity(captions)
    if num_inputs >= 8 and result["most_frequent_share"] > LIMIT:
        result["warning"] = (
            f"{repeated(result, 'inputs')}: unless these inputs are similar, the model ignores "
            "them. Evaluate it on samples with references (mmtx eval); if they also get the same "
            f"caption, {_ADVICE}."
        )
    return result


def repeated(result: dict[str, Any], noun: str) -> str:
    """Return a phrase such as ``3 of 4 samples have the same caption “a red circle”``."""
    caption = result["most_frequent"]
    caption = caption if len(caption) <= _SHOWN else caption[: _SHOWN - 1] + "…"
    return (
        f"{result['most_frequent_count']} of {result['count']} {noun} have the same caption "
        f"“{caption}”"
    )
