"""Baseline section of ``result.json``: metrics, differences, and the baselines not outperformed."""

from collections.abc import Mapping
from typing import Any

from mmtx_cli.metric.direction import headlines, lower_is_better
from mmtx_cli.metric.scores import Scores
from mmtx_cli.report.rounding import rounded


def baseline_parts(
    baselines: Mapping[str, Mapping[str, Scores]],
    scored: Mapping[str, Any],
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return ``metrics``, ``intervals`` and ``difference`` of each baseline by name.

    ``difference`` is the model's metric minus the baseline's, with a paired bootstrap interval.

    Args:
        baselines: Scores by head and baseline name.
        scored: Samples, rows of ``predictions.jsonl`` and scores by head.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.
    """
    found: dict[str, dict[str, Any]] = {}
    for head, by_name in baselines.items():
        model: Scores = scored[head][2]
        model_metrics = model.metrics().keys()
        for name, scores in by_name.items():
            part = found.setdefault(name, {"metrics": {}, "intervals": {}, "difference": {}})
            gap = model.minus(scores)
            bounds = scores.intervals(resamples=resamples, seed=seed)
            gaps = gap.intervals(resamples=resamples, seed=seed)
            figures, differences = scores.metrics(), gap.metrics()
            for metric in figures:
                if metric not in model_metrics or metric not in bounds or metric not in gaps:
                    continue  # the model lacks it, or it is undefined here
                part["metrics"][f"{head}/{metric}"] = figures[metric]
                part["intervals"][f"{head}/{metric}"] = bounds[metric]
                part["difference"][f"{head}/{metric}"] = {
                    "value": differences[metric],
                    "interval": gaps[metric],
                }
    return {name: part for name, part in found.items() if part["metrics"]}


def unbeaten(
    parts: Mapping[str, Any], metrics: Mapping[str, float], intervals: Mapping[str, Any]
) -> dict[str, str]:
    """Return by head a sentence on the baselines that its headline metric does not outperform.

    A model outperforms a baseline if the interval of the difference excludes zero on the better
    side.
    """
    sentences = {}
    for head, metric in headlines(metrics).items():
        sign = -1 if lower_is_better(metric) else 1
        worse, unclear = [], []
        for name, part in parts.items():
            if metric in part["metrics"]:
                ends = [sign * end for end in part["difference"][metric]["interval"]]
                shown = f"{name} ({rounded(part['metrics'][metric])})"
                if max(ends) < 0:
                    worse.append(shown)
                elif min(ends) <= 0:
                    unclear.append(shown)
        clauses = [f"is worse than {', '.join(worse)}"] if worse else []
        if unclear:
            clauses.append(
                f"is not significantly better than {', '.join(unclear)} "
                "(the interval of the difference includes 0)"
            )
        if clauses:
            value = rounded(metrics[metric], intervals.get(metric))
            sentences[head] = f"{metric} {value} {' and '.join(clauses)}."
    return sentences
