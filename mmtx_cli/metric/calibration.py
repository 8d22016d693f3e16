"""Are predictions as often right as they are sure?"""

import numpy as np

from mmtx_cli.metric.scores import Scores

BINS = 15


def calibration_scores(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Scores:
    """Return ``ece``, the expected calibration error (Guo et al. 2017, eq. 5).

    Predictions are put into bins of equal width by their confidence; the error is the mean, over
    the predictions, of how far the accuracy of their bin is from its mean confidence. A bin is
    open below and closed above, the first one closed at both ends.

    Args:
        confidence: [n], the probability of what was predicted.
        correct: [n] bool, or how much of it was right from 0 to 1.
    """
    confidence, correct = (np.asarray(x, dtype=np.float64) for x in (confidence, correct))
    at = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.zeros((len(at), bins))
    gap[np.arange(len(at)), at] = correct - confidence
    statistics = np.concatenate([np.ones((len(at), 1)), gap], axis=1)

    def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"ece": np.abs(sums[..., 1:]).sum(axis=-1) / sums[..., 0]}

    return Scores({}, statistics, figures)
