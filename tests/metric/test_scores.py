import numpy as np
import pytest

from mmtx_cli.errors import MmtxError
from mmtx_cli.metric import scores as module
from mmtx_cli.metric.scores import Scores, bootstrap_weights
from tests.messages import raises


def mean_of(values, name="mean"):
    values = np.asarray(values, dtype=float)
    statistics = np.stack([values, np.ones_like(values)], axis=1)
    return Scores({name: values}, statistics, lambda sums: {name: sums[..., 0] / sums[..., 1]})


@pytest.fixture
def normal():
    return np.random.default_rng(0).normal(5, 2, size=400)


def test_figures_are_those_of_the_sums(normal):
    assert mean_of(normal).metrics() == {"mean": pytest.approx(normal.mean())}


def test_intervals_are_those_of_theory(normal):
    low, high = mean_of(normal).intervals(resamples=4000)["mean"]
    half = 1.96 * normal.std() / np.sqrt(len(normal))
    assert (low, high) == pytest.approx((normal.mean() - half, normal.mean() + half), abs=0.03)


def test_a_lower_level_is_a_narrower_interval(normal):
    low, high = mean_of(normal).intervals(level=0.5)["mean"]
    wide_low, wide_high = mean_of(normal).intervals(level=0.99)["mean"]
    assert wide_low < low < normal.mean() < high < wide_high


def test_intervals_are_repeatable_and_depend_on_the_seed(normal):
    scores = mean_of(normal)
    assert scores.intervals(seed=3) == scores.intervals(seed=3)
    assert scores.intervals(seed=3) != scores.intervals(seed=4)


def test_intervals_in_pieces_are_as_good(normal, monkeypatch):
    whole = mean_of(normal).intervals()["mean"]
    monkeypatch.setattr(module, "_PIECE", 500)
    assert mean_of(normal).intervals()["mean"] == pytest.approx(whole, abs=0.05)


def test_small_integers_are_summed_as_real_numbers():
    ones = np.ones((1000, 1), dtype=np.uint8)
    scores = Scores({}, ones, lambda sums: {"sum": sums[..., 0]})
    assert scores.metrics() == {"sum": 1000}
    assert scores.intervals(resamples=10) == {"sum": (1000, 1000)}


def test_one_sample_has_an_interval_of_no_width():
    assert mean_of([3]).intervals() == {"mean": (3, 3)}


@pytest.mark.parametrize("ask", [Scores.metrics, Scores.intervals])
def test_no_sample_is_an_error(ask):
    with raises(MmtxError, "sample"):
        ask(mean_of([]))


@pytest.mark.parametrize("wrong", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}])
def test_wrong_settings_are_errors(wrong):
    with pytest.raises(MmtxError):
        mean_of([1, 2]).intervals(**wrong)


def test_a_subset_by_rows_or_mask(normal):
    rows = np.array([5, 2, 7])
    part = mean_of(normal).subset(rows)
    assert part.metrics()["mean"] == pytest.approx(normal[rows].mean())
    assert part.per_sample["mean"].tolist() == normal[rows].tolist()
    mask = np.isin(np.arange(len(normal)), rows)
    assert mean_of(normal).subset(mask).metrics() == pytest.approx(part.metrics())


def test_merged_scores_are_those_of_the_parts(normal):
    one, other = mean_of(normal, "a"), mean_of(normal**2, "b")
    both = Scores.merged(one, other)
    assert both.metrics() == one.metrics() | other.metrics()
    for name, bounds in (one.intervals() | other.intervals()).items():
        assert both.intervals()[name] == pytest.approx(bounds)
    assert list(both.per_sample) == ["a", "b"]
    assert both.subset(np.arange(9)).metrics() == pytest.approx(
        one.subset(np.arange(9)).metrics() | other.subset(np.arange(9)).metrics()
    )


def test_a_difference_is_drawn_in_pairs(normal):
    better = mean_of(normal + 1).minus(mean_of(normal))
    assert better.metrics() == {"mean": pytest.approx(1)}
    low, high = better.intervals()["mean"]
    assert (low, high) == pytest.approx((1, 1))  # a plain difference would be wider
    noise = np.random.default_rng(1).normal(0, 0.5, size=len(normal))
    low, high = mean_of(normal + noise).minus(mean_of(normal)).intervals(resamples=4000)["mean"]
    half = 1.96 * noise.std() / np.sqrt(len(noise))
    assert (low, high) == pytest.approx((noise.mean() - half, noise.mean() + half), abs=0.01)


def test_resamples_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    whole = bootstrap_weights(7, 5, np.random.default_rng(3))
    assert (whole.sum(axis=1) == 5).all()
    drawn = np.random.default_rng(3).integers(5, size=(7, 5))
    assert whole.tolist() == [np.bincount(row, minlength=5).tolist() for row in drawn]
    monkeypatch.setattr(module, "_DRAWN", 10)
    assert (bootstrap_weights(7, 5, np.random.default_rng(3)) == whole).all()
