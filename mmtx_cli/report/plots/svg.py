"""Plot curves as inline SVG with CSS colors, so that they follow light and dark themes."""

import io
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

# Placeholder colors for matplotlib, replaced by the page's CSS variables.
INK, GRID = "#010203", "#010204"
COLORS = ["#010205", "#010206", "#010207", "#010208"]
CSS = {INK: "--muted", GRID: "--line", **{c: f"--plot-{i}" for i, c in enumerate(COLORS, 1)}}

MAX_POINTS = 150
SIZES = {False: (5.6, 3.0), True: (3.6, 1.9)}  # inches, by `small`


@dataclass(frozen=True)
class Series:
    """A line of a plot: finite values over ascending steps; ``color`` is its color's index."""

    name: str
    steps: list[float]
    values: list[float]
    color: int = 0


def curves_svg(series: list[Series], *, log: bool = False, small: bool = False) -> str:
    """Plot the series on one pair of axes and return an ``<svg>`` element for an HTML page.

    The image holds numbers only: names and legend are in the page. A long series is drawn as the
    mean of bins, in a band from their minimum to their maximum. Equal input gives equal bytes.
    """
    # matplotlib takes 0.3 s to import: skip it for a page without curves
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "mmtx", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=SIZES[small], layout="constrained")
        axes = figure.add_subplot()
        for line in series:
            _draw(axes, line)
        _style_axes(axes, log)
        return inline_svg(figure)


def is_banded(line: Series) -> bool:
    """Return True if a series is too long to draw every value."""
    return len(line.values) > MAX_POINTS


def bins(values: list[float], num_bins: int) -> list[list[float]]:
    """Split a series into at most ``num_bins`` runs of nearly equal length, in order."""
    num_bins = min(num_bins, len(values))
    edges = [len(values) * i // num_bins for i in range(num_bins + 1)]
    return [values[a:b] for a, b in pairwise(edges)]


def _draw(axes: Any, line: Series) -> None:
    color, steps, values = COLORS[line.color], line.steps, line.values
    if is_banded(line):
        value_bins = bins(values, MAX_POINTS)
        steps = [sum(run) / len(run) for run in bins(steps, MAX_POINTS)]
        axes.fill_between(
            steps, [*map(min, value_bins)], [*map(max, value_bins)], color=color, alpha=0.18, lw=0
        )
        values = [sum(run) / len(run) for run in value_bins]
    marker = "o" if len(values) <= 30 else None
    axes.plot(steps, values, color=color, lw=1.6, marker=marker, markersize=3.5)


def _style_axes(axes: Any, log: bool) -> None:
    """Style the axes: only the bottom line, a faint grid, few plain tick labels."""
    from matplotlib import ticker

    if log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        decades = math.log10(high) - math.log10(low)
        subs = (1, 2, 5) if decades < 2 else (1, 3) if decades < 3.5 else (1,)
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=8))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    else:
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda step, _: _step(step)))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: value_text(value)))
    axes.margins(x=0.02)
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    axes.patch.set_visible(False)
    axes.figure.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def _step(step: float) -> str:
    return f"{step:,.0f}" if abs(step) < 10_000 else f"{step / 1000:,g}k"


def value_text(value: float) -> str:
    """Format a tick label with at most four digits."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    digits, power = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def inline_svg(figure: Any) -> str:
    """Return the ``<svg>`` element of a figure, without metadata that differs between runs."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(text, metadata=no_metadata)
    return inline(text.getvalue())


def inline(svg: str) -> str:
    """Convert a stand-alone SVG for a page that contains several."""
    svg = svg[svg.index("<svg") :]
    # Its style sheet would apply to the whole page; namespaces and size are for separate files.
    svg = re.sub(r"<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("xlink:href", "href")
    # Ids such as figure_1 would repeat across plots: keep only those that are referenced, which
    # are hashes of the content.
    used = set(re.findall(r"#([A-Za-z]\w*)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", svg)
    for color, variable in CSS.items():
        svg = svg.replace(color, f"var({variable})")
    svg = re.sub(r"font: [^;\"]*?(\d+)px[^;\"]*", r"font-size: \1px", svg)
    return svg.replace("<svg", '<svg aria-hidden="true"', 1)
