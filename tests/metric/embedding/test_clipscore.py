import numpy as np
import pytest

from mmtx_cli.metric.embedding.clipscore import clip_scores


def test_the_formulas_of_the_paper():
    scores = clip_scores(
        np.array([0.3, 0.3, -0.2, 0.3, 0.4]),
        np.array([0.9, -0.1, 0.8, 0.6, 0.5]),
        np.array([False, False, False, True, False]),
    )
    assert scores.per_sample["clipscore"].tolist() == pytest.approx([0.75, 0.75, 0, 0, 1])
    harmonic = [2 / (1 / 0.75 + 1 / 0.9), 0, 0, 0, 2 / (1 / 1 + 1 / 0.5)]
    assert scores.per_sample["refclipscore"].tolist() == pytest.approx(harmonic)
    assert scores.metrics()["refclipscore"] == pytest.approx(sum(harmonic) / 5)


def test_the_weight_multiplies_the_cosine():
    one, other = (
        clip_scores(np.array([0.3]), np.array([0.5]), np.array([False]), weight)
        for weight in (1, 2)
    )
    assert other.metrics()["clipscore"] == pytest.approx(2 * one.metrics()["clipscore"])
