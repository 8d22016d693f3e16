"""Metrics of pre-training objectives: sums over masked or predicted tokens and patches."""

import numpy as np
from jaxtyping import Float

from mmtx_cli.metric.scores import Metric, Metrics, Scores

METRICS = (
    Metric("mse", higher_is_better=False),
    Metric("perplexity", higher_is_better=False),
    Metric("nll", higher_is_better=False),
    Metric("matched"),
    Metric("loss", higher_is_better=False),
)


def reconstruction_scores(error: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"]) -> Scores:
    """Return ``mse``, the mean over all masked patches; NaN for samples without any.

    Args:
        error: Sum of the squared errors of each sample's patches.
        count: Number of masked patches of each sample.
    """

    def reduce(sums: np.ndarray) -> Metrics:
        return {"mse": sums[..., 0] / np.maximum(sums[..., 1], 1)}

    return Scores({"mse": _mean(error, count)}, np.stack([error, count], axis=1), reduce)


def masked_token_scores(
    count: Float[np.ndarray, " n"],
    correct: Float[np.ndarray, " n"],
    nll: Float[np.ndarray, " n"],
) -> Scores:
    """Return ``accuracy`` and ``perplexity`` over all masked tokens.

    Args:
        count: Number of masked tokens of each sample.
        correct: Number of those predicted correctly.
        nll: Sum of their cross-entropy.
    """

    def reduce(sums: np.ndarray) -> Metrics:
        count = np.maximum(sums[..., 0], 1)
        return {"accuracy": sums[..., 1] / count, "perplexity": np.exp(sums[..., 2] / count)}

    statistics = np.stack([count, correct, nll], axis=1)
    return Scores({"accuracy": _mean(correct, count)}, statistics, reduce)


def perplexity_scores(count: Float[np.ndarray, " n"], nll: Float[np.ndarray, " n"]) -> Scores:
    """Return ``perplexity`` over all predicted tokens, and per sample ``nll``, their mean.

    Args:
        count: Number of predicted tokens of each sample.
        nll: Sum of their cross-entropy.
    """

    def reduce(sums: np.ndarray) -> Metrics:
        return {"perplexity": np.exp(sums[..., 1] / np.maximum(sums[..., 0], 1))}

    return Scores({"nll": _mean(nll, count)}, np.stack([count, nll], axis=1), reduce)


def _mean(total: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"]) -> np.ndarray:
    """Return the quotient, NaN where ``count`` is 0."""
    return np.divide(total, count, out=np.full_like(count, np.nan), where=count > 0)
