"""Recall and median rank against the queries themselves, repeated as samples count."""

import numpy as np
import pytest

from mmtx_cli.metric.retrieval.recall import recall_scores, weighted_median


@pytest.fixture
def ranks():
    """Three captions a picture but for one picture, which lacks them."""
    random = np.random.default_rng(0)
    owner = np.repeat(np.arange(19), 3)
    return {
        "text_to_image": (random.integers(0, 12, 57), owner),
        "image_to_text": (random.integers(0, 12, 20), np.arange(20)),
    }


def test_the_figures_are_those_of_the_queries(ranks):
    figures = recall_scores(ranks, 20, cuts=(2, 7)).metrics()
    recalls = []
    for way, (rank, _) in ranks.items():
        assert figures[f"{way}_median_rank"] == np.median(rank) + 1
        for cut in (2, 7):
            recalls.append((rank < cut).mean())
            assert figures[f"{way}_r{cut}"] == pytest.approx(recalls[-1])
    assert figures["mean_recall"] == pytest.approx(np.mean(recalls))
    assert len(figures) == 7


def test_the_median_of_repeated_values():
    random = np.random.default_rng(1)
    values = np.sort(random.integers(0, 9, 30)).astype(float)
    for _ in range(50):
        counts = random.integers(0, 3, 30).astype(float)
        assert weighted_median(values, counts) == np.median(np.repeat(values, counts.astype(int)))


def test_some_samples_alone(ranks):
    chosen = np.array([3, 5, 19])
    figures = recall_scores(ranks, 20).subset(chosen).metrics()
    for way, (rank, owner) in ranks.items():
        assert figures[f"{way}_median_rank"] == np.median(rank[np.isin(owner, chosen)]) + 1


def test_the_interval_of_the_median_resamples_samples(ranks):
    scores = recall_scores(ranks, 20)
    low, high = scores.intervals(resamples=500, seed=3)["text_to_image_median_rank"]
    rank, owner = ranks["text_to_image"]
    random = np.random.default_rng(0)
    medians = []
    for _ in range(2000):
        drawn = random.integers(20, size=20)
        medians.append(np.median(np.concatenate([rank[owner == i] for i in drawn])) + 1)
    assert (low, high) == pytest.approx(np.quantile(medians, [0.025, 0.975]), abs=1)
    assert low < high
    nothing = scores.minus(scores)
    assert set(nothing.metrics().values()) == {0.0}
    assert set(nothing.intervals(resamples=20).values()) == {(0.0, 0.0)}
    assert scores.merged(scores, scores).metrics() == scores.metrics()


def test_samples_without_queries_have_no_recall():
    ranks = {
        "a_to_b": (np.array([0, 3]), np.array([0, 1])),
        "b_to_a": (np.array([7]), np.array([2])),
    }
    scores = recall_scores(ranks, 3)
    found = scores.subset(np.array([0, 1])).metrics()
    assert found["a_to_b_r1"] == found["mean_recall"] * 3 - 2 == 0.5
    assert all(np.isnan(found[name]) for name in found if name.startswith("b_to_a"))
    assert all(np.isfinite(list(scores.intervals(resamples=50).values())).flatten())
