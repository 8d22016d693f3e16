"""What a set of captions is like, without its references."""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from mmtx_cli.metric.diversity import normalized, unspaced
from mmtx_cli.metric.properties.endings import has_broken_end
from mmtx_cli.metric.properties.repetition import REPEATED_ORDER, repeats, repetition
from mmtx_cli.metric.properties.vocabulary import distinct, vocabulary
from mmtx_cli.metric.scores import Metric, Metrics, Scores

METRICS = (
    Metric(r"distinct_[12]"),
    Metric("vocabulary"),
    Metric("identical", higher_is_better=False),
    Metric("repetition", higher_is_better=False),
    Metric("repeating", higher_is_better=False),
    Metric("broken_end", higher_is_better=False),
    Metric("empty", higher_is_better=False),
    Metric("length", higher_is_better=None),
    Metric("novel", higher_is_better=None),
)


@dataclass(frozen=True)
class Properties:
    """The properties of n captions.

    Args:
        scores: Means over captions: ``length`` in words, ``repetition``, ``repeating``,
            ``broken_end``, ``empty`` and ``novel``. ``identical`` is only a value per sample.
        whole: Properties of the set: ``distinct_1``, ``distinct_2``, ``vocabulary`` and
            ``identical``. They have no bootstrap interval: a resample contains captions twice,
            which makes any set less diverse than it is.
    """

    scores: Scores
    whole: dict[str, float]


def properties(
    captions: Sequence[str],
    words: Sequence[Sequence[str]],
    language: str | None,
    training: Set[str] | None = None,
    *,
    spaced: bool = True,
    order: int = REPEATED_ORDER,
) -> Properties:
    """Return the properties of captions.

    Args:
        captions: [n] captions as written.
        words: [n] words of each caption.
        language: A key of ``endings.FUNCTION_WORDS``; without it, ``broken_end`` is left out.
        training: Training captions in their normalized form, without white space unless ``spaced``;
            if there are none, ``novel`` is left out.
        spaced: Whether white space distinguishes captions.
        order: Number of words of the sequences that ``repeating`` looks for.
    """
    keys = [normalized(caption) for caption in captions]
    keys = keys if spaced else [unspaced(key) for key in keys]
    means: dict[str, list[float] | list[int] | list[bool]] = {
        "length": [len(own) for own in words],
        "repetition": [repetition(own) for own in words],
        "repeating": [repeats(own, order) for own in words],
        "empty": [not key for key in keys],
    }
    if language is not None:
        means["broken_end"] = [has_broken_end(caption, language) for caption in captions]
    if training is not None:
        means["novel"] = [key not in training for key in keys]
    counts = Counter(keys)
    identical = np.array([counts[key] > 1 for key in keys], dtype=np.float64)
    whole = {
        "distinct_1": distinct(words, 1),
        "distinct_2": distinct(words, 2),
        "vocabulary": vocabulary(words),
        "identical": float(identical.mean()),
    }
    per_sample = {name: np.array(values, dtype=np.float64) for name, values in means.items()}
    return Properties(Scores.merged(Scores.means(per_sample), _shown_only(identical)), whole)


def _shown_only(identical: np.ndarray) -> Scores:
    """Return values per sample that are not averaged."""

    def reduce(sums: np.ndarray) -> Metrics:
        return {}

    return Scores({"identical": identical}, np.empty((len(identical), 0)), reduce)
