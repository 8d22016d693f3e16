"""Scatter plot of a metric against its cost as inline SVG, with one labeled point per group."""

import textwrap
from dataclasses import dataclass
from typing import Any

from mmtx_cli.report.plots.svg import COLORS, GRID, INK, inline_svg, value_text
from mmtx_cli.report.rounding import amount

MAX_LINE = 32
"""Maximum number of characters in a line of a label."""


@dataclass(frozen=True)
class Point:
    """One group; ``spread`` is drawn as a vertical error bar."""

    name: str
    x: float
    y: float
    spread: float = 0.0


def scatter_svg(points: list[Point], x_name: str, y_name: str, log: bool = True) -> str:
    """Plot the points on one pair of axes and return an ``<svg>`` element for an HTML page.

    Args:
        points: The groups.
        x_name: Label of the x axis.
        y_name: Label of the y axis.
        log: Whether the x axis is logarithmic.
    """
    from matplotlib import rc_context, ticker
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "mmtx", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(5.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for point in points:
            bar = point.spread or None
            axes.errorbar(point.x, point.y, bar, fmt="o", color=COLORS[0], markersize=5, lw=1.2)
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=6))
            axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: amount(x)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: value_text(y)))
        axes.margins(x=0.18, y=0.12)
        axes.set_xlabel(plain_text(x_name), color=INK)
        axes.set_ylabel(plain_text(y_name), color=INK)
        axes.grid(color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=INK, length=0)
        axes.patch.set_visible(False)
        figure.patch.set_visible(False)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("bottom", "left"))
            spine.set_color(GRID)
        separate_labels([add_label(axes, point) for point in points], figure)
        return inline_svg(figure)


def plain_text(name: str) -> str:
    """Escape ``$`` in a name, which matplotlib would read as the start of a formula."""
    return name.replace("$", r"\$")


def add_label(axes: Any, point: Point) -> Any:
    """Write a point's name in short lines next to it, on the side with more room."""
    position = (point.x, point.y)
    x_fraction, _ = axes.transAxes.inverted().transform(axes.transData.transform(position))
    offset, side = ((5, 4), "left") if x_fraction < 0.5 else ((-5, 4), "right")
    name = plain_text("\n".join(textwrap.wrap(point.name, MAX_LINE)))
    return axes.annotate(
        name, position, offset, textcoords="offset points", ha=side, color=INK, size=8
    )


def separate_labels(labels: list[Any], figure: Any) -> None:
    """Move labels down, the upper ones first, until none overlap."""
    figure.draw_without_rendering()  # computes their positions
    boxes = [label.get_window_extent() for label in labels]
    placed: list[Any] = []
    for label, box in sorted(zip(labels, boxes, strict=True), key=lambda pair: -pair[1].y0):
        moved = box
        while overlapping := [other for other in placed if other.overlaps(moved)]:
            moved = moved.translated(0, min(other.y0 for other in overlapping) - moved.y1 - 1)
        x, y = label.xyann
        label.xyann = x, y + (moved.y0 - box.y0) * 72 / figure.dpi
        placed.append(moved)
