"""Metrics of single-label and multi-label classification."""

import numpy as np

from mmtx_cli.errors import DataError, listed
from mmtx_cli.metric.scores import Metric, Scores

METRICS = (
    Metric("accuracy", headline=True),
    Metric("top5_accuracy"),
    Metric("f1_micro", headline=True),
    Metric("f1_macro"),
    Metric("f1"),
    Metric("exact_match"),
    Metric("probability_of_label"),
)

_TOP = 5


def classification_scores(probabilities: np.ndarray, labels: np.ndarray) -> Scores:
    """Return ``accuracy``, ``top5_accuracy`` (for more than 5 classes) and ``f1_macro``.

    Ties between classes are broken by order. ``f1_macro`` is the mean F1 of the classes that occur,
    as a label or a prediction, in the samples it is computed over.

    Args:
        probabilities: [n, c], or any scores with the same ranking.
        labels: [n] integers in [0, c).

    Raises:
        DataError: If scores are NaN or labels are out of range; lists the rows.
    """
    _check_scores(probabilities)
    num_classes = probabilities.shape[1]
    _refuse((labels < 0) | (labels >= num_classes), f"a label outside [0, {num_classes})")
    rank = _label_rank(probabilities, labels)
    predictions = probabilities.argmax(axis=1)
    per_sample = {"accuracy": (rank == 0).astype(np.float64)}
    if num_classes > _TOP:
        per_sample["top5_accuracy"] = (rank < _TOP).astype(np.float64)
    names = list(per_sample)
    classes = np.arange(num_classes)
    truth, predicted = labels[:, None] == classes, predictions[:, None] == classes
    # uint8, since there may be many classes and samples
    columns = [np.ones((len(labels), 1), np.uint8), *(per_sample[name][:, None] for name in names)]
    statistics = np.concatenate(
        [*columns, truth & predicted, truth + predicted.astype(np.uint8)], axis=1
    )

    def reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
        head = 1 + len(names)
        means = {name: sums[..., 1 + i] / sums[..., 0] for i, name in enumerate(names)}
        return means | {"f1_macro": _f1_macro(sums[..., head:])}

    return Scores(per_sample, statistics.astype(np.uint8), reduce)


def multilabel_scores(
    probabilities: np.ndarray, targets: np.ndarray, threshold: float = 0.5
) -> Scores:
    """Return ``f1_micro``, ``f1_macro`` and ``exact_match`` of thresholded predictions.

    ``f1_macro`` is the mean F1 of the labels that occur, in a target or a prediction, in the
    samples it is computed over. The ``f1`` of a sample is 1 if it correctly has no label.

    Args:
        probabilities: [n, c].
        targets: [n, c] bool.
        threshold: Probabilities of at least this are predictions.

    Raises:
        DataError: If probabilities are NaN; lists the rows.
    """
    _check_scores(probabilities)
    predictions = probabilities >= threshold
    both, either = targets & predictions, targets + predictions.astype(np.uint8)
    exact = (targets == predictions).all(axis=1)
    matched, total = both.sum(axis=1, dtype=np.float64), either.sum(axis=1, dtype=np.float64)
    per_sample = {
        "f1": np.divide(2 * matched, total, out=np.ones_like(matched), where=total > 0),
        "exact_match": exact.astype(np.float64),
    }
    head = np.stack([np.ones_like(exact), exact], axis=1)
    statistics = np.concatenate([head, both, either], axis=1, dtype=np.uint8)

    def reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
        matched, total = np.split(sums[..., 2:], 2, axis=-1)
        return {
            "f1_micro": _ratio(2 * matched.sum(axis=-1), total.sum(axis=-1)),
            "f1_macro": _f1_macro(sums[..., 2:]),
            "exact_match": sums[..., 1] / sums[..., 0],
        }

    return Scores(per_sample, statistics, reduce)


def _label_rank(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the number of classes [n] ranked before the label."""
    label_score = np.take_along_axis(probabilities, labels[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    return ((probabilities > label_score) | ((probabilities == label_score) & earlier)).sum(axis=1)


def _f1_macro(sums: np.ndarray) -> np.ndarray:
    """Return the mean F1 of the classes that occur, from sums [..., 2 c]: true positives, then the
    sum of targets and predictions.
    """
    matched, total = np.split(sums, 2, axis=-1)
    return _ratio(_ratio(2 * matched, total).sum(axis=-1), (total > 0).sum(axis=-1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the quotient, 0 where the divisor is 0."""
    return part / np.where(whole > 0, whole, 1)


def _check_scores(probabilities: np.ndarray) -> None:
    assert probabilities.ndim == 2, f"scores must be [n, c], not {probabilities.shape}"
    _refuse(np.isnan(probabilities).any(axis=1), "a NaN score")


def _refuse(wrong: np.ndarray, what: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise DataError(f"{len(rows)} samples have {what}: rows {listed(rows.tolist())}")
