"""Scores of VQA answers, given the answers of several annotators."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from mmtx_cli.data.text.answer_normalization import normal_answer

FULL_SCORE_COUNT = 3
"""Number of other annotators that must give an answer for a full score."""


def answer_weights(answers: Mapping[str, float]) -> dict[str, float]:
    """Return the total weight of each normalized answer, highest first (ties by name)."""
    total: Counter[str] = Counter()
    for name, weight in answers.items():
        total[normal_answer(name)] += weight  # type: ignore[assignment]
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def answer_scores(answers: Mapping[str, float]) -> dict[str, float]:
    """Return the VQA accuracy of each answer, from 0 to 1 (Antol et al. 2015, sec. 3).

    Answers are compared and returned in normalized form (``data/text/answer_normalization.py``).
    If n of N annotators give an answer, its score is the mean of min(k / 3, 1) over the N ways to
    leave one annotator out, where k of the others give that answer. With fewer than four
    annotators, 3 is replaced by N - 1; a single annotator's answer scores 1. If any weight is not
    an integer, the weights are taken as scores, clipped to 1.
    """
    weights = answer_weights(answers)
    if any(weight != int(weight) for weight in answers.values()):
        return {name: min(weight, 1.0) for name, weight in weights.items()}
    annotators = int(sum(weights.values()))
    if annotators < 2:
        return dict.fromkeys(weights, 1.0)
    threshold = min(FULL_SCORE_COUNT, annotators - 1)

    def score(n: int) -> float:
        self_left_out, other_left_out = min((n - 1) / threshold, 1.0), min(n / threshold, 1.0)
        return (n * self_left_out + (annotators - n) * other_left_out) / annotators

    return {name: score(int(n)) for name, n in weights.items()}


def answer_metrics(
    predictions: Sequence[str], answers: Sequence[Mapping[str, float]]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Return the metrics of each predicted answer in ``predictions``.

    ``accuracy`` is its VQA score, 0 if no annotator gave it. ``exact_match`` is 1 if no other
    answer has a higher weight, else 0.
    """
    pairs = [
        (normal_answer(prediction), weights)
        for prediction, weights in zip(predictions, answers, strict=True)
    ]
    accuracy = [answer_scores(weights).get(prediction, 0.0) for prediction, weights in pairs]
    exact_match = [
        float(is_likeliest(prediction, answer_weights(weights))) for prediction, weights in pairs
    ]
    return {"accuracy": np.array(accuracy), "exact_match": np.array(exact_match)}


def is_likeliest(name: str, weights: Mapping[str, float]) -> bool:
    """Return True if no other answer has a higher weight."""
    return weights.get(name, 0.0) == max(weights.values())


def answer_names(rows: Iterable[Mapping[str, float]], most: int) -> list[str]:
    """Return the ``most`` frequent answers over all rows by total weight; ties by name."""
    total: Counter[str] = Counter()
    for answers in rows:
        total.update(answer_weights(answers))  # type: ignore[arg-type]
    return sorted(total, key=lambda name: (-total[name], name))[:most]
