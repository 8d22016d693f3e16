"""Evaluation and readable predictions of single-label classifiers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.base import SHOWN, Evaluation
from mmtx_cli.metric.calibration import calibration_scores
from mmtx_cli.metric.classification import classification_scores
from mmtx_cli.metric.scores import Scores


def class_evaluation(
    probabilities: Float[np.ndarray, "n c"], samples: Sequence[Sample], label_names: Sequence[str]
) -> Evaluation:
    """Return accuracy, F1 and calibration, and a row per sample with the top 5 classes."""
    index = {name: i for i, name in enumerate(label_names)}
    labels = np.array([index[str(sample.label)] for sample in samples])
    said = probabilities.argmax(axis=1)
    scores = Scores.merged(
        classification_scores(probabilities, labels),
        calibration_scores(probabilities.max(axis=1), said == labels),
    )
    rows = [
        {
            **row,
            "label": label_names[label],
            "scores": {"probability_of_label": float(own[label])},
        }
        for row, own, label in zip(
            class_predictions(probabilities, label_names), probabilities, labels, strict=True
        )
    ]
    return Evaluation(rows, scores)


def class_predictions(
    probabilities: Float[np.ndarray, "n c"], label_names: Sequence[str], count: int = SHOWN
) -> list[dict[str, Any]]:
    """Return the most likely class of each sample, and the ``count`` most likely with
    probabilities.
    """
    several = [likeliest(own, label_names, count) for own in probabilities]
    return [{"prediction": top[0][0], "probability": top[0][1], "top": top} for top in several]


def likeliest(
    probabilities: Float[np.ndarray, " c"], label_names: Sequence[str], count: int = SHOWN
) -> list[list[Any]]:
    """Return the most likely classes with their probabilities; ties are broken by order."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [[label_names[i], float(probabilities[i])] for i in order]
