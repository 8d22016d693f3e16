"""A figure against its cost."""

from itertools import combinations

from matplotlib.figure import Figure

from mmtx_cli.report.plots.scatter import Point, scatter_svg, separate_labels

POINTS = [Point(f"fusion_{i}", 1e6 + 1e3 * i, 0.8 + 1e-4 * i, 0.01) for i in range(8)]


def test_labels_do_not_lie_over_each_other():
    figure = Figure(figsize=(5, 3))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1e8), ylim=(0, 1))
    labels = [axes.annotate(p.name, (p.x, p.y), (5, 4), textcoords="offset points") for p in POINTS]
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    assert any(a.overlaps(b) for a, b in combinations(boxes, 2))
    separate_labels(labels, figure)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_what_is_drawn():
    svg = scatter_svg([*POINTS, Point("large", 3e7, 0.9)], "parameters", "accuracy")
    assert all(f">{p.name}<" in svg for p in POINTS)
    assert "10 M" in svg
    assert "1e" not in svg.partition("accuracy")[0].rpartition(">")[2]
    assert svg == scatter_svg([*POINTS, Point("large", 3e7, 0.9)], "parameters", "accuracy")


def test_names_are_no_formulas():
    names = [r"x$\foo$", "lr=1$", r"a$b$c\$"]
    points = [Point(name, 1e6 * (i + 1), 0.5, 0.0) for i, name in enumerate(names)]
    svg = scatter_svg(points, r"$\bar$", "$y$")
    for name in (*names, r"$\bar$", "$y$"):
        assert f">{name}<" in svg
