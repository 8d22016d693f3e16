"""Differences between systems on the same samples: intervals, tests and win rates."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mmtx_cli.metric.direction import has_direction, lower_is_better
from mmtx_cli.metric.scores import Metrics, Scores, percentile_intervals
from mmtx_cli.metric.significance import holm
from mmtx_cli.metric.systems.permutation import permutation_test

SIGNIFICANT = 0.05
"""Adjusted p-value below which a difference counts as shown."""


@dataclass(frozen=True)
class WinRate:
    """Shares of the samples on which the first system is better, the second is, and neither."""

    wins: float
    losses: float
    ties: float


@dataclass(frozen=True)
class SystemDifference:
    """One metric of system ``a`` minus that of system ``b``.

    Args:
        metric: Name of the metric.
        a: Name of the first system.
        b: Name of the second system.
        value: The difference.
        interval: Its 95 % interval by the paired bootstrap; None without one.
        p: Two-sided p-value of the paired permutation test; None without one.
        adjusted_p: ``p`` adjusted for all metrics and pairs (Holm, 1979).
        win_rate: By sample; None for a metric without values per sample or without a direction.
    """

    metric: str
    a: str
    b: str
    value: float
    interval: tuple[float, float] | None = None
    p: float | None = None
    adjusted_p: float | None = None
    win_rate: WinRate | None = None

    @property
    def shown(self) -> bool | None:
        """Whether the difference is shown at the level ``SIGNIFICANT``; None without a test."""
        return None if self.adjusted_p is None else self.adjusted_p < SIGNIFICANT

    @property
    def better(self) -> str | None:
        """The better system if a difference is shown and the metric has a direction."""
        if not self.shown or not has_direction(self.metric):
            return None
        return self.a if (self.value > 0) != lower_is_better(self.metric) else self.b


def differences(
    scores: Mapping[str, Scores],
    resampled: Mapping[str, Metrics],
    whole: Mapping[str, Mapping[str, float]],
    permutations: int = 10_000,
    seed: int = 0,
) -> list[SystemDifference]:
    """Return the differences of all metrics for each pair of systems, in their order.

    Args:
        scores: System to its scores: the same metrics, for the same samples in order.
        resampled: System to its metrics in bootstrap resamples, the same ones for each.
        whole: System to its metrics that have no interval.
        permutations: Number of permutations of each test.
        seed: Seed of the permutations.
    """
    found: list[SystemDifference] = []
    metrics = {name: own.metrics() for name, own in scores.items()}
    for a, b in combinations(scores, 2):
        p_values = permutation_test(scores[a], scores[b], permutations, seed)
        shared = [name for name in metrics[a] if name in metrics[b]]
        intervals = percentile_intervals(
            {name: resampled[a][name] - resampled[b][name] for name in shared}
        )
        for name in shared:
            value = metrics[a][name] - metrics[b][name]
            rate = win_rate(name, scores[a], scores[b])
            found.append(
                SystemDifference(
                    name, a, b, value, intervals.get(name), p_values.get(name), win_rate=rate
                )
            )
        for name in [name for name in whole[a] if name in whole[b]]:
            rate = win_rate(name, scores[a], scores[b])
            value = whole[a][name] - whole[b][name]
            found.append(SystemDifference(name, a, b, value, win_rate=rate))
    return _adjusted(found)


def _adjusted(found: list[SystemDifference]) -> list[SystemDifference]:
    tested = [row.p for row in found if row.p is not None]
    adjusted = iter(holm(tested))
    return [row if row.p is None else replace(row, adjusted_p=next(adjusted)) for row in found]


def win_rate(metric: str, a: Scores, b: Scores) -> WinRate | None:
    """Return how often each system is better on a sample; None if the metric does not say so.

    Samples for which the metric is undefined do not count.
    """
    if not has_direction(metric) or metric not in a.per_sample or metric not in b.per_sample:
        return None
    left, right = a.per_sample[metric], b.per_sample[metric]
    defined = np.isfinite(left) & np.isfinite(right)
    if not defined.any():
        return None
    gain = (left - right)[defined] * (-1 if lower_is_better(metric) else 1)
    tied = np.isclose(left[defined], right[defined], rtol=1e-9, atol=1e-12)
    wins, losses = (float((side & ~tied).mean()) for side in (gain > 0, gain < 0))
    return WinRate(wins, losses, float(tied.mean()))
