"""Regression metrics."""

import numpy as np

from mmtx_cli.metric.scores import Metric, Scores

METRICS = (
    Metric("mae", higher_is_better=False, headline=True, per_sample="error"),
    Metric("rmse", higher_is_better=False),
    Metric("error", higher_is_better=False),
    Metric("pearson"),
    Metric("r2"),
)


def regression_scores(predictions: np.ndarray, targets: np.ndarray) -> Scores:
    """Return ``mae`` and ``rmse`` (in the units of the targets), ``pearson`` and ``r2``.

    ``pearson`` is 0 if either side is constant, ``r2`` is 0 if the targets are.

    Args:
        predictions: [n].
        targets: [n].
    """
    y, t = (np.asarray(values, dtype=np.float64) for values in (predictions, targets))
    # moments about a common center: sums of squares of large numbers would cancel
    center = t.mean() if len(t) else 0.0
    y, t = y - center, t - center
    error = np.abs(y - t)
    columns = [np.ones_like(t), error, error**2, y, t, y * y, t * t, y * t]

    def reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
        n = sums[..., 0]
        mae, mse, y, t, yy, tt, yt = (sums[..., i] / n for i in range(1, 8))
        var_y, var_t = np.maximum(yy - y * y, 0), np.maximum(tt - t * t, 0)
        return {
            "mae": mae,
            "rmse": np.sqrt(mse),
            "pearson": _ratio(yt - y * t, np.sqrt(var_y * var_t)),
            "r2": _ratio(var_t - mse, var_t),
        }

    return Scores({"error": error}, np.stack(columns, axis=1), reduce)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the quotient, 0 where the divisor is almost 0."""
    nonzero = whole > 1e-12
    return np.where(nonzero, part / np.where(nonzero, whole, 1), 0.0)
