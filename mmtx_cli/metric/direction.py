"""The direction in which each metric improves, and the headline metric of a head.

Both are derived from what the families of metrics declare.
"""

import re
from collections.abc import Iterable

from mmtx_cli.metric import (
    bleu,
    calibration,
    cider,
    classification,
    meteor,
    ordinal,
    pretraining,
    regression,
    rouge,
)
from mmtx_cli.metric.embedding import clipscore, cosine, token_matching
from mmtx_cli.metric.properties import measured as properties
from mmtx_cli.metric.retrieval import recall
from mmtx_cli.metric.scores import Metric

METRICS: tuple[Metric, ...] = (
    *classification.METRICS,
    *cider.METRICS,
    *bleu.METRICS,
    *rouge.METRICS,
    *meteor.METRICS,
    *ordinal.METRICS,
    *regression.METRICS,
    *recall.METRICS,
    *calibration.METRICS,
    *pretraining.METRICS,
    *properties.METRICS,
    *clipscore.METRICS,
    *token_matching.METRICS,
    *cosine.METRICS,
)
"""All metrics of mmtx; of several headline metrics of a head, the first one is chosen."""

_PATTERNS = [(re.compile(rf"(?:^|[/_])(?:{metric.name})$"), metric) for metric in METRICS]


def metric_of(name: str) -> Metric | None:
    """Return the metric of a name, with or without the head's name, or None if it is unknown.

    Names may be prefixed: ``image_to_text_median_rank``, ``probe/image/linear/mae``.
    """
    matches = [metric for pattern, metric in _PATTERNS if pattern.search(name)]
    return max(matches, key=lambda metric: len(metric.name), default=None)


def has_direction(name: str) -> bool:
    """Return whether a metric is known and better when higher, or when lower.

    A few metrics of mmtx are neither, such as the length of captions.
    """
    metric = metric_of(name)
    return metric is not None and metric.higher_is_better is not None


def lower_is_better(name: str) -> bool:
    """Return whether lower is better; unknown metrics count as better when higher."""
    metric = metric_of(name)
    return metric is not None and metric.higher_is_better is False


def headline(metrics: Iterable[str]) -> str | None:
    """Return the headline metric of a head's metrics, without its name, or None if it has none."""
    names = set(metrics)
    ranked = (metric.name for metric in METRICS if metric.headline)
    return next((name for name in ranked if name in names), None)


def headlines(metrics: Iterable[str]) -> dict[str, str]:
    """Return the headline metric of each head that has one.

    Args:
        metrics: Names of metrics, after the name of their head: ``classification/accuracy``.
    """
    by_head: dict[str, list[str]] = {}
    for name in metrics:
        head, _, metric = name.rpartition("/")
        by_head.setdefault(head, []).append(metric)
    found = {head: headline(names) for head, names in by_head.items()}
    return {
        head: f"{head}/{metric}" if head else metric for head, metric in found.items() if metric
    }
