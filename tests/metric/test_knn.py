"""Votes of neighbors against a loop in float64."""

import math

import pytest
import torch

from mmtx_cli.metric.knn import nearest_neighbors, neighbor_classifier, neighbor_regression


def slow_votes(train, test, k, temperature):
    """For each test row, (training row, share of the vote) of its neighbors."""
    found = []
    for x in test.double():
        cosines = [
            (float(x @ y) / (float(x.norm()) * float(y.norm())), i)
            for i, y in enumerate(train.double())
        ]
        best = sorted(cosines, reverse=True)[:k]
        weights = [math.exp(cosine / temperature) for cosine, _ in best]
        total = sum(weights)
        found.append([(i, w / total) for (_, i), w in zip(best, weights, strict=True)])
    return found


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randn(n, 6, generator=generator) * 3 + 1 for n in (40, 11))
    return train, test, torch.randint(4, (40,), generator=generator)


@pytest.mark.parametrize("k", [1, 5, 40, 1000])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_votes_are_those_of_a_loop(features, k, temperature):
    train, test, labels = features
    votes = slow_votes(train, test, k, temperature)
    shares = neighbor_classifier(train, labels, 4, test, k, temperature)
    numbers = labels.double() * 1.5 - 2
    means = neighbor_regression(train, numbers, test, k, temperature)
    for own, share, mean in zip(votes, shares, means, strict=True):
        expected = [sum(w for i, w in own if labels[i] == c) for c in range(4)]
        assert share.tolist() == pytest.approx(expected, abs=1e-4)
        assert float(mean) == pytest.approx(sum(w * float(numbers[i]) for i, w in own), abs=1e-4)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_pieces_change_nothing(features, chunk):
    train, test, _ = features
    cosine, row = nearest_neighbors(train, test, 7, chunk)
    whole_cosine, whole_row = nearest_neighbors(train, test, 7)
    torch.testing.assert_close(cosine, whole_cosine)
    assert row.tolist() == whole_row.tolist()


def test_a_vector_of_nothing_is_near_to_none():
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    shares = neighbor_classifier(train, torch.tensor([0, 1]), 2, torch.zeros(1, 2), 2)
    assert shares.tolist() == [[0.5, 0.5]]
