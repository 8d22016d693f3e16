import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.ordinal import ordinal_scores

ranks = st.lists(st.integers(0, 4), min_size=15, max_size=15).map(np.array)


def weighted_kappa(predicted, true, classes):
    """Cohen (1968) from the table of counts."""
    table = np.zeros((classes, classes))
    for y, t in zip(predicted, true, strict=True):
        table[t, y] += 1
    expected = table.sum(axis=1)[:, None] * table.sum(axis=0)[None] / table.sum()
    apart = np.array([[(i - j) ** 2 for j in range(classes)] for i in range(classes)])
    return 1 - (apart * table).sum() / (apart * expected).sum()


@given(ranks, ranks)
def test_figures(predicted, true):
    found = ordinal_scores(predicted, true, 5).metrics()
    assert found["accuracy"] == pytest.approx((predicted == true).mean())
    assert found["mae"] == pytest.approx(np.abs(predicted - true).mean())
    if len({*predicted, *true}) > 1:
        assert found["kappa"] == pytest.approx(weighted_kappa(predicted, true, 5))


def test_all_agree_on_one_class():
    same = np.zeros(4, dtype=int)
    assert ordinal_scores(same, same, 3).metrics()["kappa"] == 1.0
