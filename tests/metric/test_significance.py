import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.significance import holm, paired_bootstrap

stats = pytest.importorskip("scipy.stats")


def values(rng, mean, runs=1, n=300):
    return rng.normal(mean, 1, (runs, n))


def test_one_run_each_is_scipys_paired_bootstrap():
    rng = np.random.default_rng(0)
    b = values(rng, 0)
    a = b + rng.normal(0.1, 0.5, b.shape)
    found = paired_bootstrap(a, b, resamples=20_000)
    wanted = stats.bootstrap(
        (a[0] - b[0],), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert found.mean == pytest.approx((a - b).mean())
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=3e-3)


def test_the_p_value_is_that_of_a_paired_test():
    rng = np.random.default_rng(1)
    b = values(rng, 0)
    a = b + rng.normal(0.05, 0.5, b.shape)
    found = paired_bootstrap(a, b, resamples=20_000)
    assert found.p == pytest.approx(stats.ttest_rel(a[0], b[0]).pvalue, abs=0.02)


def test_runs_that_differ_make_the_difference_less_sure():
    rng = np.random.default_rng(2)
    b = values(rng, 0, runs=3)
    noise = np.array([[-0.4], [0.0], [0.6]])
    sure, unsure = paired_bootstrap(b + 0.1, b), paired_bootstrap(b + 0.1 + noise, b)
    assert unsure.high - unsure.low > 2 * (sure.high - sure.low)
    assert unsure.p > 0.05


def test_the_same_against_itself_differs_in_nothing():
    a = values(np.random.default_rng(3), 1)
    found = paired_bootstrap(a, a, resamples=500)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_never_surer_than_the_resamples_allow():
    b = values(np.random.default_rng(4), 0)
    assert paired_bootstrap(b + 5, b, resamples=999).p == pytest.approx(2 / 1000)


def naive_holm(p_values):
    """Reject from the least p-value on, as long as p <= alpha / (those left)."""
    return [
        min(
            1.0,
            max(
                (len(p_values) - sum(q < other for q in p_values)) * other
                for other in p_values
                if other <= p
            ),
        )
        for p in p_values
    ]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8, unique=True))
def test_holm(p_values):
    assert holm(p_values) == pytest.approx(naive_holm(p_values))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
