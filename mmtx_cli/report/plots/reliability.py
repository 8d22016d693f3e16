"""Reliability diagram as inline SVG: accuracy against confidence."""

from mmtx_cli.report.plots.svg import COLORS, GRID, INK, inline_svg

BINS = 10
MIN_SAMPLES = 20


def reliability_svg(pairs: list[tuple[float, bool]], bins: int = BINS) -> str | None:
    """Plot the accuracy of each confidence bin; return None for too few samples.

    ``pairs`` holds (confidence, correct) of each sample. A dot is at its bin's mean confidence, and
    its area grows with the number of samples. After Guo et al. 2017, figure 1.
    """
    if len(pairs) < MIN_SAMPLES:
        return None
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    by_bin: dict[int, list[tuple[float, bool]]] = {}
    for confidence, correct in pairs:
        by_bin.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, correct))
    groups = [by_bin[i] for i in sorted(by_bin)]
    x = [sum(c for c, _ in group) / len(group) for group in groups]
    y = [sum(hit for _, hit in group) / len(group) for group in groups]
    size = [12 + 160 * len(group) / len(pairs) for group in groups]
    with rc_context({"svg.hashsalt": "mmtx", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(3.0, 3.0), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=GRID, lw=1.2)
        axes.plot(x, y, color=COLORS[0], lw=1.2)
        axes.scatter(x, y, size, color=COLORS[0], lw=0)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.set_xlabel("confidence", color=INK)
        axes.set_ylabel("accuracy", color=INK)
        axes.tick_params(colors=INK, length=0)
        axes.patch.set_visible(False)
        figure.patch.set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(GRID)
        return inline_svg(figure)
