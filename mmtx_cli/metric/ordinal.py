"""Metrics of ordinal classification."""

import numpy as np

from mmtx_cli.metric.scores import Metric, Scores

METRICS = (Metric("kappa"),)
"""``accuracy`` and ``mae`` are declared by classification and regression."""


def ordinal_scores(predictions: np.ndarray, labels: np.ndarray, num_classes: int) -> Scores:
    """Return ``accuracy``, ``mae`` (in ranks) and ``kappa``, quadratically weighted (Cohen 1968).

    ``kappa`` is 1 if all labels and predictions are the same class.

    Args:
        predictions: [n] integers in [0, num_classes).
        labels: [n] integers in [0, num_classes).
        num_classes: Number of classes.
    """
    distance = np.abs(predictions - labels)
    classes = np.arange(num_classes)
    predicted, actual = predictions[:, None] == classes, labels[:, None] == classes
    head = np.stack([np.ones_like(distance), distance == 0, distance, distance**2], axis=1)
    statistics = np.concatenate([head, predicted, actual], axis=1)
    apart = (classes[:, None] - classes) ** 2.0

    def reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
        n = sums[..., 0]
        predicted, actual = np.split(sums[..., 4:], 2, axis=-1)
        expected = np.einsum("...i,ij,...j->...", predicted, apart, actual) / n**2
        observed = sums[..., 3] / n
        defined = expected > 0
        return {
            "accuracy": sums[..., 1] / n,
            "mae": sums[..., 2] / n,
            "kappa": np.where(defined, 1 - observed / np.where(defined, expected, 1), 1.0),
        }

    per_sample = {"accuracy": (distance == 0).astype(float), "error": distance.astype(float)}
    return Scores(per_sample, statistics.astype(np.float64), reduce)
