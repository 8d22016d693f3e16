"""Which way a metric is better, and which metric of a head stands for it."""

import re
from collections.abc import Iterable

HIGHER = (
    *("accuracy", "top5_accuracy", "f1", "f1_macro", "f1_micro", "exact_match", "kappa"),
    *("probability_of_label", "matched", "pearson", "r2", "mean_recall", r"r\d+"),
    *(r"bleu_\d", "rouge_l", "cider"),
)
"""Metrics that are better when they are higher."""
LOWER = (
    *("mae", "rmse", "mse", "error", "ece", "median_rank", "rank", "perplexity", "surprise"),
    "loss",
)
"""Metrics that are better when they are lower."""

HEADLINES = ("accuracy", "cider", "bleu_4", "f1_micro", "mae", "mean_recall")
"""Metrics that stand for a head; the first one that it has."""

_HIGHER, _LOWER = (re.compile(rf"(?:^|[/_])(?:{'|'.join(names)})$") for names in (HIGHER, LOWER))


def has_direction(metric: str) -> bool:
    """Whether it is known which way a metric is better; it is of all that mmtx computes itself."""
    return bool(_HIGHER.search(metric) or _LOWER.search(metric))


def lower_is_better(metric: str) -> bool:
    """Whether a metric, with or without its head's name, is better when it is lower.

    The names above may have others before them: ``image_to_text_median_rank``,
    ``probe/image/linear/mae``. A metric that is none of them counts as better when higher.
    """
    return bool(_LOWER.search(metric))


def headline(metrics: Iterable[str]) -> str | None:
    """Return the metric that stands for a head, if it has any of ``HEADLINES``."""
    names = set(metrics)
    return next((name for name in HEADLINES if name in names), None)
