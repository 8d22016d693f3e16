import statistics

import numpy as np
import pytest

from mmtx_cli.metric.run_comparison import compare
from mmtx_cli.metric.significance import holm, paired_bootstrap


def runs(rng, mean, count):
    return [
        {f"s{i:03}": float(x) for i, x in enumerate(rng.normal(mean, 1, 200))} for _ in range(count)
    ]


def test_groups_against_a_baseline():
    rng = np.random.default_rng(0)
    samples = {"a": runs(rng, 0, 3), "b": runs(rng, 0.3, 2), "c": runs(rng, 0.02, 1)}
    figures = {name: [np.mean([*run.values()]) for run in group] for name, group in samples.items()}
    found = {row.name: row for row in compare(figures, samples, "a", 2000)}
    assert [*found] == ["a", "b", "c"]
    assert found["a"].mean == pytest.approx(statistics.fmean(figures["a"]))
    assert found["a"].sd == pytest.approx(statistics.stdev(figures["a"]))
    assert (found["a"].difference, found["a"].p, found["c"].sd) == (None, None, None)
    tables = {n: np.array([[*run.values()] for run in g]) for n, g in samples.items()}
    each = [paired_bootstrap(tables[name], tables["a"], 2000) for name in ("b", "c")]
    assert [found["b"].difference, found["c"].difference] == each
    assert [found["b"].p, found["c"].p] == holm([d.p for d in each])
    assert found["b"].p < 0.05 < found["c"].p


def test_only_samples_that_all_have_are_compared():
    samples = {"a": [{"x": 1.0, "y": 0.0, "only": 9.0}], "b": [{"y": 1.0, "x": 1.0}]}
    _, b = compare({"a": [10 / 3], "b": [1.0]}, samples, "a", 100)
    assert b.difference.mean == 0.5


def test_a_metric_of_the_whole_split_has_no_difference_by_sample():
    """BLEU of a split is not the mean of the BLEU of its captions."""
    samples = {"a": [{"x": 1.0, "y": 0.0}], "b": [{"x": 0.4, "y": 0.4}]}
    found = compare({"a": [0.3], "b": [0.4]}, samples, "a", 100)
    assert [(row.mean, row.difference, row.p) for row in found] == [
        (0.3, None, None),
        (0.4, None, None),
    ]


def test_a_metric_that_no_sample_has():
    found = compare({"a": [0.5], "b": [1.0]}, {"a": [{}], "b": [{}]}, "a")
    assert [row.difference for row in found] == [None, None]
    assert [row.mean for row in found] == [0.5, 1.0]
