"""How far the values of a metric agree with human judgements of the same captions."""

from dataclasses import dataclass

import numpy as np

from mmtx_cli.metric.agreement.kendall import kendall
from mmtx_cli.metric.agreement.spearman import spearman
from mmtx_cli.metric.agreement.weighted_ranks import Ties
from mmtx_cli.metric.scores import Metrics, bootstrap_weights, percentile_intervals

# Resamples are computed in chunks of about this many numbers to bound the memory.
_PIECE = 250_000


@dataclass(frozen=True)
class Judgements:
    """m human judgements of n captions; a caption may have any number of them.

    Args:
        caption: [m] index of the caption of each judgement.
        rating: [m] the judgements.
        num_captions: n.
    """

    caption: np.ndarray
    rating: np.ndarray
    num_captions: int


@dataclass(frozen=True)
class Correlation:
    """A rank correlation in [-1, 1] with its 95 % interval; None where it is undefined."""

    value: float
    interval: tuple[float, float] | None


def correlations(
    values: np.ndarray, judgements: Judgements, resamples: int = 1000, seed: int = 0
) -> dict[str, Correlation] | None:
    """Return ``kendall_b``, ``kendall_c`` and ``spearman``; None if the values are constant.

    Each judgement is an observation, paired with the value of its caption, as in the evaluations on
    Flickr8k-Expert (Anderson et al., 2016, arXiv:1607.08822; Hessel et al., 2021,
    arXiv:2104.08718, appendix A). The bootstrap resamples captions, each with all its judgements,
    which are not independent. Captions without a value are left out, with their judgements.

    Args:
        values: [n] values of a metric; NaN where it is undefined.
        judgements: Judgements of the n captions.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resamples, which are the same for every metric.
    """
    assert len(values) == judgements.num_captions, "values of other captions"
    defined = np.isfinite(values)[judgements.caption]
    caption = judgements.caption[defined]
    if len(caption) < 2:
        return None
    x, y = Ties.of(values[caption]), Ties.of(judgements.rating[defined])
    whole = _row(x, y, np.ones((len(caption), 1)))
    if not np.isfinite(whole["spearman"][0]):
        return None
    rated, caption = np.unique(caption, return_inverse=True)
    rng = np.random.default_rng(seed)
    parts = []
    step = max(1, _PIECE // len(caption))
    for first in range(0, resamples, step):
        size = min(step, resamples - first)
        parts.append(_row(x, y, bootstrap_weights(size, len(rated), rng).T[caption]))
    resampled = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    intervals = percentile_intervals(resampled)
    return {
        name: Correlation(float(value[0]), intervals.get(name)) for name, value in whole.items()
    }


def _row(x: Ties, y: Ties, weights: np.ndarray) -> Metrics:
    tau_b, tau_c = kendall(x, y, weights)
    return {"kendall_b": tau_b, "kendall_c": tau_c, "spearman": spearman(x, y, weights)}
