"""Calibration: how well confidence matches accuracy."""

import numpy as np

from mmtx_cli.metric.scores import Metric, Scores

METRICS = (Metric("ece", higher_is_better=False),)

BINS = 15


def calibration_scores(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Scores:
    """Return ``ece``, the expected calibration error (Guo et al. 2017, eq. 5).

    Predictions are grouped by confidence into bins of equal width; the error is the mean over
    predictions of the absolute difference between the accuracy and the mean confidence of their
    bin. Bins are open below and closed above, the first one closed at both ends.

    Args:
        confidence: [n], the probability of the prediction.
        correct: [n] bool, or a degree of correctness from 0 to 1.
        bins: Number of bins.
    """
    confidence, correct = (np.asarray(x, dtype=np.float64) for x in (confidence, correct))
    bin_index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.zeros((len(bin_index), bins))
    gap[np.arange(len(bin_index)), bin_index] = correct - confidence
    statistics = np.concatenate([np.ones((len(bin_index), 1)), gap], axis=1)

    def reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"ece": np.abs(sums[..., 1:]).sum(axis=-1) / sums[..., 0]}

    return Scores({}, statistics, reduce)
