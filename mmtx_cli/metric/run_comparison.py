"""Comparison of groups of runs with a baseline: means, standard deviations, paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from statistics import fmean, stdev

import numpy as np

from mmtx_cli.metric.significance import Difference, holm, paired_bootstrap


@dataclass(frozen=True)
class Compared:
    """One group: its metric over the runs, and its difference from the baseline.

    ``difference`` is None for the baseline itself, and if the metric is not the mean of per-sample
    values, such as BLEU of a whole split; ``p`` is adjusted for the number of groups.
    """

    name: str
    runs: int
    mean: float
    sd: float | None
    difference: Difference | None
    p: float | None


def compare(
    figures: Mapping[str, Sequence[float]],
    samples: Mapping[str, Sequence[Mapping[str, float]]],
    baseline: str,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Compared]:
    """Return one row per group, in the order of ``figures``.

    Args:
        figures: Group to the metric of each of its runs.
        samples: Group to the metric by sample id, for each of its runs. Only the samples that all
            runs have are compared.
        baseline: Name of the baseline group.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.
    """
    id_sets = [set(run) for runs in samples.values() for run in runs]
    ids = sorted(set.intersection(*id_sets)) if id_sets else []
    tables = {
        name: np.array([[run[i] for i in ids] for run in runs]) for name, runs in samples.items()
    }
    others = [name for name in figures if name != baseline and ids]
    if not all(map(are_means, figures.values(), samples.values())):
        others = []
    differences = {
        name: paired_bootstrap(tables[name], tables[baseline], resamples, seed=seed)
        for name in others
    }
    adjusted = dict(zip(others, holm([differences[name].p for name in others]), strict=True))
    return [
        Compared(
            name,
            len(runs),
            fmean(runs),
            stdev(runs) if len(runs) > 1 else None,
            differences.get(name),
            adjusted.get(name),
        )
        for name, runs in figures.items()
    ]


def are_means(figures: Sequence[float], samples: Sequence[Mapping[str, float]]) -> bool:
    """Return whether the metric of each run is the mean of its values by sample."""
    return all(
        isclose(figure, fmean(run.values()), rel_tol=1e-6, abs_tol=1e-9)
        for figure, run in zip(figures, samples, strict=False)
        if run
    )
