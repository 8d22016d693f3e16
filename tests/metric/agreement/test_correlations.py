import numpy as np
import pytest

from mmtx_cli.metric.agreement.correlations import Judgements, correlations

stats = pytest.importorskip("scipy.stats")


def drawn(n, raters, seed=0, noise=1.0):
    """Values of n captions, and ratings from 1 to 4 by several people."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n)
    rating = np.clip(np.round(values[:, None] + noise * rng.normal(size=(n, raters)) + 2.5), 1, 4)
    return values, Judgements(np.repeat(np.arange(n), raters), rating.ravel(), n)


def test_every_judgement_is_an_observation():
    values, judgements = drawn(80, 3)
    found = correlations(values, judgements, resamples=10)
    x, y = np.repeat(values, 3), judgements.rating
    assert found["kendall_b"].value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found["kendall_c"].value == pytest.approx(stats.kendalltau(x, y, variant="c").statistic)
    assert found["spearman"].value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_intervals_are_those_of_scipys_bootstrap_of_captions():
    values, judgements = drawn(60, 1, noise=2.0)
    found = correlations(values, judgements, resamples=4000, seed=1)["kendall_b"]
    wanted = stats.bootstrap(
        (values, judgements.rating),
        lambda x, y: stats.kendalltau(x, y).statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=1000,
        rng=2,
    ).confidence_interval
    width = wanted.high - wanted.low
    assert found.interval == pytest.approx((wanted.low, wanted.high), abs=0.12 * width)


def test_judgements_of_a_caption_are_resampled_together():
    """Ten equal judgements of a caption carry no more information than one."""
    values, one = drawn(60, 1, noise=2.0)
    ten = Judgements(np.repeat(one.caption, 10), np.repeat(one.rating, 10), 60)
    first, second = (correlations(values, own, 1000, seed=1)["spearman"] for own in (one, ten))
    assert second.value == pytest.approx(first.value)
    assert second.interval == pytest.approx(first.interval)


def test_a_seed_gives_every_metric_the_same_resamples():
    values, judgements = drawn(50, 2)
    found = correlations(values, judgements, 200, seed=5)
    assert correlations(np.exp(values), judgements, 200, seed=5) == found
    assert correlations(values, judgements, 200, seed=6) != found


def test_captions_without_value_or_rating_do_not_count():
    values, judgements = drawn(40, 2)
    more = np.concatenate([values, [np.nan, 7.0]])
    with_more = Judgements(
        np.append(judgements.caption, [40, 40]), np.append(judgements.rating, [4.0, 1.0]), 42
    )
    assert correlations(more, with_more, 50) == correlations(values, judgements, 50)


def test_a_constant_metric_has_no_correlation():
    _, judgements = drawn(10, 2)
    assert correlations(np.zeros(10), judgements, 10) is None
    assert correlations(np.full(10, np.nan), judgements, 10) is None


def test_chunks_do_not_change_it(monkeypatch):
    values, judgements = drawn(30, 2)
    whole = correlations(values, judgements, 100)
    monkeypatch.setattr("mmtx_cli.metric.agreement.correlations._PIECE", 100)
    found = correlations(values, judgements, 100)
    for name, own in whole.items():
        assert found[name].value == pytest.approx(own.value)
    assert correlations(values, judgements, 1)["spearman"].interval is not None
