from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.metric.embedding.token_matching import (
    TokenVectors,
    inverse_document_frequencies,
    precision_recall_f1,
)


def text(seed, length):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(length, 5)).astype(np.float32)
    weights = draw.integers(0, 3, length).astype(np.float64)
    return TokenVectors(x / np.linalg.norm(x, axis=1, keepdims=True), weights)


def naive(candidate, reference):
    """Equations 1 to 4 and the weights, token by token."""

    def covered(one, other):
        best = [
            max(sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) for y in other.vectors)
            for x in one.vectors
        ]
        return sum(w * b for w, b in zip(one.weights, best, strict=True)) / sum(one.weights)

    p, r = covered(candidate, reference), covered(reference, candidate)
    return p, r, 2 * p * r / (p + r)


@given(st.integers(0, 99), st.integers(1, 6), st.integers(1, 6))
def test_equals_the_equations(seed, length, other):
    candidate, reference = text(seed, length), text(seed + 1000, other)
    found = precision_recall_f1(candidate, reference)
    if candidate.weights.any() and reference.weights.any():
        assert found == pytest.approx(naive(candidate, reference), rel=1e-4, abs=1e-5)
    else:
        assert found == (0, 0, 0)


@given(st.integers(0, 99), st.integers(1, 6))
def test_a_text_matches_itself(seed, length):
    own = text(seed, length)
    expected = 1 if own.weights.any() else 0
    assert precision_recall_f1(own, own) == pytest.approx([expected] * 3, abs=1e-6)


def test_the_weight_of_a_token_counts_the_references_that_have_it():
    found = inverse_document_frequencies([[1, 5, 5, 2], [1, 6, 2], [1, 5, 2]])
    assert found == pytest.approx({1: 0, 2: 0, 5: log(4 / 3), 6: log(4 / 2)})
