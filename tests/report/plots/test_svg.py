import re
from xml.etree import ElementTree

import pytest

from mmtx_cli.report.plots.svg import MAX_POINTS, Series, bins, curves_svg

STEPS = [float(step) for step in range(1, 1001)]


@pytest.mark.parametrize("log", [False, True])
def test_is_one_svg_element_without_the_rest_of_a_file(log: bool) -> None:
    svg = curves_svg([Series("train", STEPS, [9 / step for step in STEPS])], log=log)
    assert ElementTree.fromstring(svg).tag == "svg"
    assert not re.search(r"http|<style|<metadata|<!DOCTYPE|xlink|xmlns", svg)
    assert not re.search(r"<svg[^>]* (width|height)=", svg)
    used = set(re.findall(r"#([A-Za-z]\w*)", svg))
    assert set(re.findall(r' id="([^"]+)"', svg)) == used


def test_the_page_chooses_the_colors() -> None:
    lines = [Series(str(i), [0.0, 1.0], [1.0, 2.0], color=i) for i in range(4)]
    svg = curves_svg(lines)
    for name in ("--plot-1", "--plot-2", "--plot-3", "--plot-4", "--line", "--muted"):
        assert f"var({name})" in svg
    assert "#0102" not in svg


def test_equal_input_gives_equal_bytes() -> None:
    line = Series("val", STEPS, [step % 7 for step in STEPS])
    assert curves_svg([line]) == curves_svg([line])


def test_a_long_series_is_drawn_in_bins() -> None:
    many = [float(step) for step in range(100_000)]
    assert len(curves_svg([Series("train", many, many)])) < 40_000


def test_bins_keep_every_value_in_order() -> None:
    cut = bins(STEPS, MAX_POINTS)
    assert len(cut) == MAX_POINTS
    assert [value for run in cut for value in run] == STEPS
    assert {len(run) for run in cut} <= {6, 7}
    assert bins([1.0, 2.0], 5) == [[1.0], [2.0]]


@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-9, 1e9], [-5.0, 5.0], [3e-4, 3e-5]])
def test_odd_ranges_are_drawn(values: list[float]) -> None:
    log = min(values) > 0
    assert "<path" in curves_svg([Series("x", [0.0, 250_000.0], values)], log=log, small=True)
