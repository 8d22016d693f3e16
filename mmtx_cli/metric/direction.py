"""The direction in which each metric improves, and the headline metric of a head."""

import re
from collections.abc import Iterable

HIGHER = (
    *("accuracy", "top5_accuracy", "f1", "f1_macro", "f1_micro", "exact_match", "kappa"),
    *("probability_of_label", "matched", "pearson", "r2", "mean_recall", r"r\d+"),
    *(r"bleu_\d", "rouge_l", "cider"),
)
"""Metrics for which higher is better."""
LOWER = (
    *("mae", "rmse", "mse", "error", "ece", "median_rank", "rank", "perplexity", "surprise"),
    "loss",
)
"""Metrics for which lower is better."""

HEADLINES = ("accuracy", "cider", "bleu_4", "f1_micro", "mae", "mean_recall")
"""Headline metrics of a head, in order of preference."""

_HIGHER, _LOWER = (re.compile(rf"(?:^|[/_])(?:{'|'.join(names)})$") for names in (HIGHER, LOWER))


def has_direction(metric: str) -> bool:
    """Return whether the direction of a metric is known; it is for all metrics computed by mmtx."""
    return bool(_HIGHER.search(metric) or _LOWER.search(metric))


def lower_is_better(metric: str) -> bool:
    """Return whether lower is better for a metric, with or without the head's name.

    Names may be prefixed: ``image_to_text_median_rank``, ``probe/image/linear/mae``. Unknown
    metrics count as better when higher.
    """
    return bool(_LOWER.search(metric))


def headline(metrics: Iterable[str]) -> str | None:
    """Return the headline metric of a head, or None if it has none of ``HEADLINES``."""
    names = set(metrics)
    return next((name for name in HEADLINES if name in names), None)
