"""A figure against its cost as inline SVG, a labelled point a group."""

from dataclasses import dataclass

from mmtx_cli.report.plot import COLOURS, GRID, INK, inline_svg, value_text


@dataclass(frozen=True)
class Point:
    """One group; ``spread`` is drawn as a bar up and down."""

    name: str
    x: float
    y: float
    spread: float = 0.0


def scatter_svg(points: list[Point], x_name: str, y_name: str, log: bool = True) -> str:
    """Draw the points on one pair of axes and give an `<svg>` element for an HTML page."""
    from matplotlib import rc_context, ticker
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "mmtx", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(5.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for point in points:
            bar = point.spread or None
            axes.errorbar(point.x, point.y, bar, fmt="o", color=COLOURS[0], markersize=5, lw=1.2)
            axes.annotate(
                point.name, (point.x, point.y), (5, 4), textcoords="offset points", color=INK
            )
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=6))
            axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: value_text(x)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: value_text(y)))
        axes.margins(x=0.18, y=0.12)
        axes.set_xlabel(x_name, color=INK)
        axes.set_ylabel(y_name, color=INK)
        axes.grid(color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=INK, length=0)
        axes.patch.set_visible(False)
        figure.patch.set_visible(False)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("bottom", "left"))
            spine.set_color(GRID)
        return inline_svg(figure)
