import numpy as np
import pytest

from mmtx_cli.metric.embedding import cosine
from mmtx_cli.metric.embedding.cosine import Pairs, similarity_scores


def vectors(rows, seed=0):
    x = np.random.default_rng(seed).normal(size=(rows, 7))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("piece", [1, 20, 2**25])
def test_the_closest_and_the_mean_of_all_references(monkeypatch, piece):
    monkeypatch.setattr(cosine, "_PIECE", piece)
    unit, counts = vectors(20), [1, 3, 2]
    references = [[4], [5, 6, 4], [19, 2]]
    pairs = Pairs(np.array([0, 1, 2]), np.concatenate(references), np.array(counts))
    scores = similarity_scores(unit, pairs, np.zeros(3, bool))
    exact = unit.astype(np.float64)
    for i, own in enumerate(references):
        expected = [sum(a * b for a, b in zip(exact[i], exact[j], strict=True)) for j in own]
        assert scores.per_sample["similarity"][i] == pytest.approx(max(expected), abs=1e-7)
        mean = sum(expected) / len(expected)
        assert scores.per_sample["similarity_mean"][i] == pytest.approx(mean, abs=1e-7)
    assert scores.metrics()["similarity"] == scores.per_sample["similarity"].mean()


def test_an_empty_candidate_scores_0():
    pairs = Pairs(np.array([0, 0]), np.array([0, 0]), np.array([1, 1]))
    scores = similarity_scores(vectors(1), pairs, np.array([True, False]))
    assert scores.per_sample["similarity"].tolist() == pytest.approx([0, 1], abs=1e-6)
    assert scores.per_sample["similarity_mean"][0] == 0
