"""What a head that says one class of each sample reports."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from mmtx_cli.data.sample import Sample
from mmtx_cli.head.base import Evaluation
from mmtx_cli.metric.calibration import calibration_scores
from mmtx_cli.metric.classification import classification_scores
from mmtx_cli.metric.scores import Scores


def class_evaluation(
    probabilities: Float[np.ndarray, "n c"], samples: Sequence[Sample], label_names: Sequence[str]
) -> Evaluation:
    """Accuracy, F1, calibration; a row holds the prediction and the five likeliest classes."""
    index = {name: i for i, name in enumerate(label_names)}
    labels = np.array([index[str(sample.label)] for sample in samples])
    said = probabilities.argmax(axis=1)
    scores = Scores.merged(
        classification_scores(probabilities, labels),
        calibration_scores(probabilities.max(axis=1), said == labels),
    )
    rows = [
        class_row(own, int(label), label_names)
        for own, label in zip(probabilities, labels, strict=True)
    ]
    return Evaluation(rows, scores)


def class_row(
    probabilities: Float[np.ndarray, " c"], label: int, label_names: Sequence[str]
) -> dict[str, Any]:
    """One sample's prediction in words."""
    top = likeliest(probabilities, label_names)
    return {
        "prediction": top[0][0],
        "label": label_names[label],
        "probability": top[0][1],
        "scores": {"probability_of_label": float(probabilities[label])},
        "top": top,
    }


def likeliest(
    probabilities: Float[np.ndarray, " c"], label_names: Sequence[str]
) -> list[list[Any]]:
    """Names and probabilities of the five likeliest classes, the first of equals first."""
    order = np.argsort(-probabilities, kind="stable")[:5]
    return [[label_names[i], float(probabilities[i])] for i in order]
