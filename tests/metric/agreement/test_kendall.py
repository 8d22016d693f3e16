import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.agreement.kendall import kendall
from mmtx_cli.metric.agreement.spearman import spearman
from mmtx_cli.metric.agreement.weighted_ranks import Ties

stats = pytest.importorskip("scipy.stats")


def ours(x, y, weights):
    return kendall(Ties.of(x), Ties.of(y), weights)


def expected(x, y, variant):
    return stats.kendalltau(x, y, variant=variant).statistic


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 9), st.integers(1, 9))
def test_taus_are_scipys_for_any_number_of_ties(seed, n, x_levels, y_levels):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, x_levels, n) / 3, rng.integers(-y_levels, 1, n)
    weights = rng.integers(0, 4, (n, 3)).astype(float)
    found = np.stack([*ours(x, y, weights), spearman(Ties.of(x), Ties.of(y), weights)])
    for column in range(3):
        times = weights[:, column].astype(int)
        own_x, own_y = np.repeat(x, times), np.repeat(y, times)
        if len({*own_x}) < 2 or len({*own_y}) < 2:
            assert np.isnan(found[:, column]).all()
            continue
        wanted = [expected(own_x, own_y, "b"), expected(own_x, own_y, "c")]
        wanted.append(stats.spearmanr(own_x, own_y).statistic)
        np.testing.assert_allclose(found[:, column], wanted, rtol=0, atol=1e-12)


def test_many_levels_without_ties():
    rng = np.random.default_rng(1)
    x = rng.normal(size=3000)
    y = x + rng.normal(size=3000)
    tau_b, tau_c = ours(x, y, np.ones((3000, 1)))
    assert tau_b[0] == pytest.approx(expected(x, y, "b"), abs=1e-12)
    assert tau_c[0] == pytest.approx(expected(x, y, "c"), abs=1e-12)


def test_the_order_decides_alone():
    x = np.array([1.0, 2, 2, 3, 9])
    y = np.array([10.0, 20, 20, 30, 31])
    for sign in (1, -1):
        tau_b, _ = ours(x, sign * y, np.ones((5, 1)))
        assert tau_b[0] == pytest.approx(sign)
        assert ours(x**3, sign * np.exp(y / 9), np.ones((5, 1)))[0][0] == pytest.approx(sign)
