import numpy as np
import pytest

from mmtx_cli.metric.scores import Scores
from mmtx_cli.metric.systems.compared import WinRate, differences, win_rate

stats = pytest.importorskip("scipy.stats")


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    cider, length = rng.gamma(2, 0.5, 200), rng.integers(5, 15, 200).astype(float)
    empty = np.zeros(200)
    return {
        "a": Scores.means({"cider": cider + 0.3, "length": length + 1, "empty": empty}),
        "b": Scores.means({"cider": cider, "length": length, "empty": empty + 1}),
        "c": Scores.means({"cider": cider[::-1], "length": length, "empty": empty + 1}),
    }


def compared(scores, whole=None, **options):
    resampled = {name: own.resampled(400, seed=3) for name, own in scores.items()}
    whole = whole or {name: {} for name in scores}
    return {
        (row.a, row.b, row.metric): row
        for row in differences(scores, resampled, whole, 2000, **options)
    }


def test_every_pair_and_metric(scores):
    found = compared(scores)
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    assert list(found) == [(*pair, name) for pair in pairs for name in ("cider", "length", "empty")]
    assert found["a", "b", "cider"].value == pytest.approx(0.3)
    assert found["a", "b", "cider"].better == "a"
    assert found["a", "b", "empty"].better == "a", "lower is better"
    assert found["b", "c", "empty"].better is None
    assert found["a", "b", "length"].shown
    assert found["a", "b", "length"].better is None, "a longer caption is not a better one"


def test_the_interval_is_that_of_a_paired_bootstrap(scores):
    difference = compared(scores)["a", "c", "cider"]
    values = scores["a"].per_sample["cider"] - scores["c"].per_sample["cider"]
    wanted = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=1)
    low, high = difference.interval
    width = wanted.confidence_interval.high - wanted.confidence_interval.low
    assert low == pytest.approx(wanted.confidence_interval.low, abs=0.12 * width)
    assert high == pytest.approx(wanted.confidence_interval.high, abs=0.12 * width)
    assert (low, high) == pytest.approx(
        scores["a"].minus(scores["c"]).intervals(resamples=400, seed=3)["cider"]
    )
    # a constant difference has no spread, although both systems have
    assert compared(scores)["a", "b", "cider"].interval == pytest.approx((0.3, 0.3))


def test_p_values_are_adjusted_for_all_metrics_and_pairs(scores):
    found = list(compared(scores).values())
    smallest = min(found, key=lambda row: row.p)
    assert smallest.adjusted_p == pytest.approx(min(1, len(found) * smallest.p))
    assert all(row.adjusted_p >= row.p for row in found)


def test_metrics_of_the_whole_set_are_not_tested(scores):
    whole = {"a": {"vocabulary": 9}, "b": {"vocabulary": 7}, "c": {"vocabulary": 7}}
    row = compared(scores, whole)["a", "b", "vocabulary"]
    assert (row.value, row.interval, row.p, row.shown, row.better) == (2, None, None, None, None)


def test_win_rates():
    nan = np.nan
    a = Scores.means({"cider": np.array([1, 2, 3, nan]), "empty": np.array([0, 1, 0, 0.0])})
    b = Scores.means({"cider": np.array([0, 2, 4, 1.0]), "empty": np.array([0, 0, 0, 1.0])})
    found = win_rate("cider", a, b)
    assert (found.wins, found.losses, found.ties) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert win_rate("empty", a, b) == WinRate(0.25, 0.25, 0.5)
    assert win_rate("length", a, b) is None
    assert win_rate("bleu_4", a, b) is None
    nothing = Scores.means({"cider": np.full(4, nan)})
    assert win_rate("cider", a, nothing) is None
