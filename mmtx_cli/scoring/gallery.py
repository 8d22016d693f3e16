"""The samples that the page of ``mmtx score`` shows."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from mmtx_cli.metric.direction import lower_is_better
from mmtx_cli.metric.scores import Scores
from mmtx_cli.report.caption_scores.samples import Sample, SamplePart, SystemCaption
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.result import gain


def galleries(
    metric: str | None,
    systems: Mapping[str, Captions],
    scores: Mapping[str, Scores],
    size: int,
) -> list[SamplePart]:
    """Return the samples on which systems differ most, then the worst, the best and random ones.

    Args:
        metric: Metric by which samples are ranked; None for random samples only.
        systems: The captions by system; systems of different samples have no common gallery.
        scores: The scores by system.
        size: Number of samples in each part.
    """
    if size < 1:
        return []
    ids = next(iter(systems.values())).ids
    by_hash = sorted(range(len(ids)), key=lambda row: _hash(ids[row]))
    chosen: list[tuple[str, Sequence[int]]] = []
    if metric is not None:
        for a, b in combinations(systems, 2):
            difference = gain(metric, scores[a], scores[b])
            for better, worse, sign in ((a, b, 1), (b, a, -1)):
                order = _largest(sign * difference, by_hash)[:size]
                rows = [row for row in order if sign * difference[row] > 0]
                chosen.append((f"“{better}” is better than “{worse}”", rows))
        values = np.mean([own.per_sample[metric] for own in scores.values()], axis=0)
        good = np.nan_to_num(-values if lower_is_better(metric) else values, nan=-np.inf)
        order = _largest(good, by_hash)
        if len(order) <= size:
            chosen.append(("All, best first", order))
        else:
            chosen += [("Worst", order[size:][-size:][::-1]), ("Best", order[:size])]
    if metric is None or len(ids) > size:
        chosen.append(("Random", by_hash[:size]))
    return [
        SamplePart(title, [_sample(row, metric, systems, scores) for row in rows])
        for title, rows in chosen
        if rows
    ]


def _largest(values: np.ndarray, by_hash: Sequence[int]) -> list[int]:
    """Return the rows from the largest value on; equal ones in the order of ``by_hash``."""
    order = np.array(by_hash)
    return [int(row) for row in order[np.argsort(-values[order], kind="stable")]]


def _hash(ident: str) -> str:
    """Return a fixed random order, so that reports of the same samples show the same ones."""
    return hashlib.sha256(ident.encode(errors="replace")).hexdigest()


def _sample(
    row: int, metric: str | None, systems: Mapping[str, Captions], scores: Mapping[str, Scores]
) -> Sample:
    first = next(iter(systems.values()))
    shown = [
        SystemCaption(
            name if len(systems) > 1 else "",
            captions.predictions[row],
            _value(scores[name], metric, row),
        )
        for name, captions in systems.items()
    ]
    if metric and len(shown) > 1:
        shown.sort(key=lambda own: own.value or 0.0, reverse=not lower_is_better(metric))
    return Sample(
        first.ids[row],
        first.media[row],
        shown,
        tuple(first.references[row]),
        metric or "",
        first.segments[row] if first.segments else None,
    )


def _value(scores: Scores, metric: str | None, row: int) -> float | None:
    """Return the value of a sample, None if it is undefined."""
    value = float(scores.per_sample[metric][row]) if metric else np.nan
    return value if np.isfinite(value) else None
