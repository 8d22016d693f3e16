import re
from xml.etree import ElementTree

import numpy as np
import pytest

from mmtx_cli.report.plots.histogram import histogram


def labels(svg):
    return re.findall(r">([^<>]+)</text>", svg)


def test_one_outline_a_system_and_labels_of_the_range():
    values = {"a": np.array([1.0, 2, 2, 5]), "b": np.array([2.0, 9, np.nan])}
    plot = histogram("length", values)
    assert (plot.title, plot.names) == ("length", ["a", "b"])
    assert len(ElementTree.fromstring(plot.svg).findall("path")) == 3, "two and the axis"
    assert labels(plot.svg) == ["1", "5", "9"]


def test_tiny_values_are_zero():
    assert labels(histogram("x", {"a": np.array([1e-7, 0.3, 2.0])}).svg)[0] == "0"


@pytest.mark.parametrize("values", [[], [3.0, 3.0], [np.nan]])
def test_nothing_to_show(values):
    assert histogram("x", {"a": np.array(values)}) is None
    assert histogram("x", {}) is None


def test_bars_are_as_high_as_their_share():
    plot = histogram("x", {"a": np.array([0.0] * 3 + [10.0] + [5.0] * 6)})
    heights = [150 - float(y) for y in re.findall(r"V([\d.]+)H", plot.svg)]
    top = max(heights)
    assert [h / top for h in heights if h] == pytest.approx([0.5, 1, 1 / 6], abs=0.01)
