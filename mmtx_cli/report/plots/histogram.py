"""Histograms of values per sample as inline SVG with CSS colors, one outline per system."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmtx_cli.report.rounding import rounded

WIDTH, HEIGHT, FOOT = 480, 150, 20
BINS = 24
COLORS = 4


@dataclass(frozen=True)
class Histogram:
    """A plot of one metric; ``names`` are its systems, in the order of their colors."""

    title: str
    names: list[str]
    svg: str


def histogram(title: str, values: Mapping[str, np.ndarray]) -> Histogram | None:
    """Return a plot of the distributions of values, at most four; None if all values are equal.

    Args:
        title: What the values are.
        values: The values of each system; those that are not finite are left out.
    """
    finite = {name: own[np.isfinite(own)] for name, own in [*values.items()][:COLORS]}
    pool = np.concatenate([*finite.values()]) if finite else np.empty(0)
    if not len(pool) or pool.min() == pool.max():
        return None
    edges = _edges(pool)
    counts = [np.histogram(own, edges)[0] / max(1, len(own)) for own in finite.values()]
    top = max(float(own.max()) for own in counts)
    shapes = [_outline(own / top, at) for at, own in enumerate(counts, 1)]
    labels = _labels(pool)
    line = f'<path d="M0 {HEIGHT}H{WIDTH}" stroke="var(--line)" fill="none"/>'
    svg = (
        f'<svg aria-hidden="true" viewBox="0 0 {WIDTH} {HEIGHT + FOOT}">'
        f"{''.join(shapes)}{line}{labels}</svg>"
    )
    return Histogram(title, list(finite), svg)


def _edges(pool: np.ndarray) -> np.ndarray:
    """Return the edges of the bins; whole numbers of a small range have one bin each."""
    low, high = float(pool.min()), float(pool.max())
    if (pool == np.round(pool)).all() and high > 1:
        width = math.ceil((high - low + 1) / (2 * BINS))
        return np.arange(low - 0.5, high + width + 0.5, width)
    return np.linspace(low, high, BINS + 1)


def _outline(heights: np.ndarray, color: int) -> str:
    step = WIDTH / len(heights)
    path = [f"M0 {HEIGHT}"]
    for at, height in enumerate(heights):
        path.append(f"V{HEIGHT - (HEIGHT - 4) * float(height):.1f}H{(at + 1) * step:.1f}")
    return (
        f'<path d="{"".join(path)}V{HEIGHT}Z" fill="var(--plot-{color})" fill-opacity=".16" '
        f'stroke="var(--plot-{color})" stroke-width="1.5"/>'
    )


def _labels(pool: np.ndarray) -> str:
    """Return the smallest value, the middle and the largest value below the plot."""
    low, high = float(pool.min()), float(pool.max())
    low = 0.0 if abs(low) < 1e-3 * (high - low) else low
    places = ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    return "".join(
        f'<text x="{share * WIDTH:.0f}" y="{HEIGHT + 15}" text-anchor="{anchor}" font-size="12" '
        f'fill="var(--muted)">{_label(low + share * (high - low))}</text>'
        for share, anchor in places
    )


def _label(value: float) -> str:
    return rounded(int(value) if value.is_integer() else value)
