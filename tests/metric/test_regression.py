import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmtx_cli.metric.regression import regression_scores

stats = pytest.importorskip("scipy.stats")
values = arrays(float, 20, elements=st.floats(-1e6, 1e6).map(lambda x: round(x, 3)))


@given(values, values)
def test_against_numpy_and_scipy(predicted, true):
    found = regression_scores(predicted, true).metrics()
    error = predicted - true
    assert found["mae"] == pytest.approx(np.abs(error).mean())
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    if predicted.std() > 1e-2 and true.std() > 1e-2:
        assert found["pearson"] == pytest.approx(stats.pearsonr(predicted, true)[0], abs=1e-6)
        r2 = 1 - (error**2).sum() / ((true - true.mean()) ** 2).sum()
        assert found["r2"] == pytest.approx(r2, rel=1e-6, abs=1e-6)


def test_where_there_is_nothing_to_explain():
    found = regression_scores(np.array([1.0, 2.0]), np.array([3.0, 3.0])).metrics()
    assert found == {"mae": 1.5, "rmse": pytest.approx(2.5**0.5), "pearson": 0.0, "r2": 0.0}


def test_a_mean_far_away_costs_no_digits():
    true = 1e8 + np.arange(5.0)
    assert regression_scores(true + np.array([0, 1, 0, 1, 0]), true).metrics()[
        "r2"
    ] == pytest.approx(0.8)
