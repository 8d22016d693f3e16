"""Which way a metric is better, and which metric of a head stands for it."""

from collections.abc import Iterable

LOWER = ("mae", "rmse", "ece", "median_rank")
"""How the metrics end that are better when they are lower."""

HEADLINES = ("accuracy", "cider", "bleu_4", "f1_micro", "mae", "mean_recall")
"""Metrics that stand for a head; the first one that it has."""


def lower_is_better(metric: str) -> bool:
    """Whether a metric, with or without its head's name, is better when it is lower."""
    return metric.endswith(LOWER)


def headline(metrics: Iterable[str]) -> str | None:
    """Return the metric that stands for a head, if it has any of ``HEADLINES``."""
    names = set(metrics)
    return next((name for name in HEADLINES if name in names), None)
