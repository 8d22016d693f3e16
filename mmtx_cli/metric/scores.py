"""Metrics of a set of samples: per-sample values, sufficient statistics, confidence intervals.

Each family of metrics declares its ``METRICS``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmtx_cli.errors import MmtxError

# Resampled sums are computed in chunks of about this many numbers to bound the memory.
_PIECE = 4_000_000
# Rows are drawn in chunks of about this many numbers, which fit into the CPU cache.
_DRAWN = 1 << 16

Metrics = dict[str, np.ndarray]


def no_metrics(weights: np.ndarray) -> Metrics:
    """Return no metrics, whatever the weights of the samples."""
    return {}


@dataclass(frozen=True)
class Metric:
    r"""A metric, or a value per sample, that mmtx computes.

    Args:
        name: Its name, or a regular expression for the names of several, such as ``r\d+``.
        higher_is_better: Whether a higher value is better; None if neither is, as for a length.
        headline: Whether it is the metric by which a head is shown and compared. If a head has
            several, the first one in ``metric/direction.py`` is.
        per_sample: Name of its values per sample, if they have another name.
    """

    name: str
    higher_is_better: bool | None = True
    headline: bool = False
    per_sample: str | None = None


@dataclass(frozen=True)
class Scores:
    """Per-sample statistics whose weighted sums determine the metrics.

    Metrics that are not functions of sums, such as a median, are computed from the sample weights.

    Args:
        per_sample: Name to [n], one value per sample, for display and sorting.
        statistics: [n, k], any real type; summed as float64.
        reduce: Computes metrics, [r] each, from r summed statistics [r, k].
        weigh: Computes further metrics, [r] each, from the sample weights [r, n].
    """

    per_sample: dict[str, np.ndarray]
    statistics: np.ndarray
    reduce: Callable[[np.ndarray], Metrics]
    weigh: Callable[[np.ndarray], Metrics] = no_metrics

    def __len__(self) -> int:
        return len(self.statistics)

    def metrics(self) -> dict[str, float]:
        """Return each metric over all samples. Raises MmtxError if there are none."""
        self._require_samples()
        sums = self.statistics.sum(axis=0, keepdims=True, dtype=np.float64)
        metrics = self.reduce(sums) | self.weigh(np.ones((1, len(self))))
        return {name: float(value[0]) for name, value in metrics.items()}

    def intervals(
        self, level: float = 0.95, resamples: int = 1000, seed: int = 0
    ) -> dict[str, tuple[float, float]]:
        """Return the percentile bootstrap interval of each metric (Efron, 1979).

        Samples are drawn with replacement, the same for every metric, so a seed gives the same
        resamples for two runs over the same samples. A single sample gives intervals of zero width.
        A metric that is not finite in any resample is left out.

        Args:
            level: Coverage of the interval.
            resamples: Number of bootstrap resamples.
            seed: Seed of the resampling.

        Raises:
            MmtxError: If there are no samples, no resamples, or ``level`` is not in (0, 1).
        """
        return percentile_intervals(self.resampled(resamples, seed), level)

    def resampled(self, resamples: int = 1000, seed: int = 0) -> Metrics:
        """Return the metrics, [resamples] each, of bootstrap resamples of the samples.

        Raises:
            MmtxError: If there are no samples or no resamples.
        """
        self._require_samples()
        if resamples < 1:
            raise MmtxError(f"resamples must be at least 1, not {resamples}")
        return self._resampled(resamples, np.random.default_rng(seed))

    def subset(self, rows: np.ndarray) -> "Scores":
        """Return the scores of some samples, given by indices or a mask [n]."""
        chosen = np.arange(len(self))[rows]

        def weigh(weights: np.ndarray) -> Metrics:
            full_weights = np.zeros((len(weights), len(self)))
            full_weights[:, chosen] = weights
            return self.weigh(full_weights)

        return Scores(
            {name: values[rows] for name, values in self.per_sample.items()},
            self.statistics[rows],
            self.reduce,
            no_metrics if self.weigh is no_metrics else weigh,
        )

    def prefixed(self, prefix: str) -> "Scores":
        """Return the same scores with ``prefix`` before their names."""

        def rename(metrics: Metrics) -> Metrics:
            return {f"{prefix}{name}": value for name, value in metrics.items()}

        return Scores(
            rename(self.per_sample),
            self.statistics,
            lambda sums: rename(self.reduce(sums)),
            lambda weights: rename(self.weigh(weights)),
        )

    def minus(self, other: "Scores") -> "Scores":
        """Return the differences of the shared metrics, over the same samples in the same order.

        Their intervals are those of a paired bootstrap: both sides use the same resamples.
        """
        assert len(self) == len(other), f"scores of {len(self)} and of {len(other)} samples"
        split = self.statistics.shape[1]

        def reduce(sums: np.ndarray) -> Metrics:
            left, right = self.reduce(sums[..., :split]), other.reduce(sums[..., split:])
            return {name: left[name] - right[name] for name in left if name in right}

        def weigh(weights: np.ndarray) -> Metrics:
            left, right = self.weigh(weights), other.weigh(weights)
            return {name: left[name] - right[name] for name in left if name in right}

        both = np.concatenate([self.statistics, other.statistics], axis=1)
        return Scores({}, both, reduce, weigh)

    @staticmethod
    def means(per_sample: dict[str, np.ndarray]) -> "Scores":
        """Return scores whose metrics are the means of these values, each [n]."""
        names = list(per_sample)
        columns = [np.ones(len(per_sample[names[0]])), *per_sample.values()]

        def reduce(sums: np.ndarray) -> Metrics:
            return {name: sums[..., i] / sums[..., 0] for i, name in enumerate(names, 1)}

        return Scores(per_sample, np.stack(columns, axis=1).astype(np.float64), reduce)

    @staticmethod
    def merged(*parts: "Scores") -> "Scores":
        """Return the metrics of several scores over the same samples in the same order."""
        lengths = {len(part) for part in parts}
        assert len(lengths) == 1, f"scores of different samples: {sorted(lengths)}"
        ends = np.cumsum([part.statistics.shape[1] for part in parts])

        def reduce(sums: np.ndarray) -> Metrics:
            metrics: Metrics = {}
            for part, columns in zip(parts, np.split(sums, ends[:-1], axis=-1), strict=True):
                metrics |= part.reduce(columns)
            return metrics

        def weigh(weights: np.ndarray) -> Metrics:
            return {name: x for part in parts for name, x in part.weigh(weights).items()}

        return Scores(
            {name: values for part in parts for name, values in part.per_sample.items()},
            np.concatenate([part.statistics for part in parts], axis=1),
            reduce,
            weigh,
        )

    def _require_samples(self) -> None:
        if not len(self):
            raise MmtxError("no samples to score")

    def _resampled(self, resamples: int, rng: np.random.Generator) -> Metrics:
        """Return the metrics, [resamples] each, of bootstrap resamples of n samples."""
        total = np.empty((resamples, self.statistics.shape[1]))
        weighted_metrics: list[Metrics] = []
        step = max(1, _PIECE // len(self))
        for first in range(0, resamples, step):
            chunk = total[first : first + step]
            weights = bootstrap_weights(len(chunk), len(self), rng)
            chunk[:] = _weighted(weights, self.statistics)
            weighted_metrics.append(self.weigh(weights))
        extra = {
            name: np.concatenate([part[name] for part in weighted_metrics])
            for name in weighted_metrics[0]
        }
        return self.reduce(total) | extra


def percentile_intervals(resampled: Metrics, level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Return the interval of each metric from its values in resamples, [resamples] each.

    A metric that is not finite in any resample is left out. Raises MmtxError if ``level`` is not in
    (0, 1).
    """
    if not 0 < level < 1:
        raise MmtxError(f"level must be between 0 and 1, not {level}")
    tails = [(1 - level) / 2, (1 + level) / 2]
    # a resample may contain no sample for which a metric is defined
    finite = {name: values[np.isfinite(values)] for name, values in resampled.items()}
    bounds = {name: np.quantile(values, tails) for name, values in finite.items() if len(values)}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def bootstrap_weights(resamples: int, num_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each row is drawn, [resamples, rows]: multinomial, ``num_rows`` draws."""
    weights = np.empty((resamples, num_rows))
    step = max(1, _DRAWN // num_rows)
    for first in range(0, resamples, step):
        part = weights[first : first + step]
        drawn = rng.integers(num_rows, size=part.shape)
        drawn += np.arange(len(part))[:, None] * num_rows
        part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
    return weights


def _weighted(weights: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """Return ``weights @ statistics``, converting small integer types to float64 in chunks."""
    step = max(1, _PIECE // len(statistics))
    blocks = [
        weights @ statistics[:, first : first + step].astype(np.float64)
        for first in range(0, statistics.shape[1], step)
    ]
    return np.concatenate(blocks, axis=1)
