"""The content of ``result.json``, ``scores.jsonl`` and ``differences.jsonl``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mmtx_cli.io.jsonl import finite
from mmtx_cli.metric.agreement.correlations import correlations
from mmtx_cli.metric.direction import has_direction, headline, lower_is_better
from mmtx_cli.metric.scores import Metrics, Scores, percentile_intervals
from mmtx_cli.metric.systems.compared import SystemDifference
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.ratings.rated import Rated

DIFFERENT = 100
"""Number of samples of each pair of systems in ``differences.jsonl``."""


def of_system(scores: Scores, whole: Mapping[str, float], resampled: Metrics) -> dict[str, Any]:
    """Return the metrics of a system and their intervals."""
    intervals = percentile_intervals(resampled)
    metrics = scores.metrics() | dict(whole)
    return {
        "metrics": {named(name): value for name, value in metrics.items()},
        "intervals": {named(name): list(bounds) for name, bounds in intervals.items()},
    }


def named(metric: str) -> str:
    """Return the name of a metric in the result."""
    return f"caption/{metric}"


def of_differences(found: Sequence[SystemDifference]) -> list[dict[str, Any]]:
    """Return a part for each pair of systems, with the differences by metric."""
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for row in found:
        part = pairs.setdefault((row.a, row.b), {"a": row.a, "b": row.b, "differences": {}})
        values = {
            key: value for key, value in asdict(row).items() if key not in ("metric", "a", "b")
        }
        part["differences"][named(row.metric)] = values | {"better": row.better, "shown": row.shown}
    return list(pairs.values())


def of_ratings(
    path: object, rated: Rated, scores: Mapping[str, Scores], resamples: int, seed: int
) -> dict[str, Any]:
    """Return the rank correlations of each metric with the human ratings.

    Args:
        path: The file of ratings.
        rated: The rated captions.
        scores: The scores of each system.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.
    """
    parts = [scores[name].per_sample for name in rated.systems]
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    found: dict[str, Any] = {}
    for name in shared:
        values = np.concatenate([part[name] for part in parts]).astype(np.float64)
        own = correlations(values, rated.judgements, resamples, seed)
        found[named(name)] = own and {key: asdict(value) for key, value in own.items()}
    return {
        "path": str(path),
        "captions": len(np.unique(rated.judgements.caption)),
        "judgements": len(rated.judgements.rating),
        "correlations": found,
    }


def of_parameters(
    measured: Mapping[str, Mapping[str, Measured]],
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, dict[str, Any]]]]:
    """Return how each family was computed: what all systems share, and what is a system's own.

    Returns:
        Parameters by family; and by system and family, only where there are any.
    """
    systems = list(measured.values())
    shared: dict[str, dict[str, Any]] = {}
    own: dict[str, dict[str, dict[str, Any]]] = {}
    for family, first in systems[0].items():
        parts = [system[family].parameters for system in systems]
        shared[family] = {
            key: value
            for key, value in first.parameters.items()
            if all(key in part and part[key] == value for part in parts)
        }
        for name, part in zip(measured, parts, strict=True):
            if rest := {key: value for key, value in part.items() if key not in shared[family]}:
                own.setdefault(name, {})[family] = rest
    return shared, own


def notes_of(measured: Mapping[str, Mapping[str, Measured]]) -> list[str]:
    """Return the notes of all families; those that not all systems share name their system."""
    by_system = {
        system: [note for family in families.values() for note in family.notes]
        for system, families in measured.items()
    }
    found = []
    for system, notes in by_system.items():
        for note in notes:
            common = all(note in other for other in by_system.values())
            found.append(note if common else f"{system}: {note}")
    return list(dict.fromkeys(found))


def rows(
    systems: Mapping[str, Captions],
    scores: Mapping[str, Scores],
    rated: Rated | None,
) -> Iterator[dict[str, Any]]:
    """Yield the values of each sample, with its system if there are several."""
    for name, captions in systems.items():
        columns = dict(scores[name].per_sample)
        if rated is not None:
            columns["rating"] = rated.mean_ratings(name)
        for row, ident in enumerate(captions.ids):
            place = {"id": ident} | ({"system": name} if len(systems) > 1 else {})
            yield finite(place | {key: float(x[row]) for key, x in columns.items()})


def ranking_metric(scores: Mapping[str, Scores]) -> str | None:
    """Return the metric by which samples are ranked; None without one that says which is better.

    It is the headline, else the first one with a better direction.
    """
    parts = [own.per_sample for own in scores.values()]
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return headline(shared) or next(filter(has_direction, shared), None)


def gain(metric: str, a: Scores, b: Scores) -> np.ndarray:
    """Return by how much system ``a`` is better than ``b`` on each sample, [n]; 0 if undefined."""
    sign = -1 if lower_is_better(metric) else 1
    return np.nan_to_num(sign * (a.per_sample[metric] - b.per_sample[metric]), nan=0.0)


def most_different(
    a: str, b: str, metric: str, systems: Mapping[str, Captions], scores: Mapping[str, Scores]
) -> Iterator[dict[str, Any]]:
    """Yield the samples on which two systems differ most, the largest difference first.

    Args:
        a: Name of the first system.
        b: Name of the second system.
        metric: Metric of the difference.
        systems: The captions by system.
        scores: The scores by system.
    """
    difference = gain(metric, scores[a], scores[b])
    order = np.argsort(-np.abs(difference), kind="stable")[:DIFFERENT]
    for row in order[difference[order] != 0]:
        yield finite(
            {
                "id": systems[a].ids[row],
                "a": a,
                "b": b,
                "metric": metric,
                "values": [float(scores[name].per_sample[metric][row]) for name in (a, b)],
                "captions": [systems[name].predictions[row] for name in (a, b)],
                "references": systems[a].references[row],
            }
        )
