"""Several corpora in one order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.sampling.mixture_order import MixtureOrder, shares

SIZES = [37, 100, 8]


def corpus_of(rows):
    return np.searchsorted(np.cumsum(SIZES), rows, side="right")


def order_of(mixed, size=4, seed=0, weights=(1, 2, 1)):
    return MixtureOrder(SIZES, shares(SIZES, weights, 1.0), size, seed, mixed)


@pytest.mark.parametrize("mixed", [False, True])
def test_each_id_once_an_epoch_of_its_corpus(mixed):
    every = np.concatenate(list(order_of(mixed).run(0, 400, None)))
    for corpus, size in enumerate(SIZES):
        own = every[corpus_of(every[:, 1]) == corpus]
        assert (np.diff(own[:, 0]) >= 0).all()
        for epoch in range(own[-1, 0]):
            rows = own[own[:, 0] == epoch, 1]
            assert len(rows) == len(np.unique(rows)) == size
        last = own[own[:, 0] == own[-1, 0], 1]
        assert len(last) == len(np.unique(last))


@pytest.mark.parametrize("mixed", [False, True])
def test_proportions_are_those_of_the_weights(mixed):
    every = np.concatenate(list(order_of(mixed).run(0, 2000, None)))
    found = np.bincount(corpus_of(every[:, 1]), minlength=3) / len(every)
    draws = 2000 * (4 if mixed else 1)
    for share, wanted in zip(found, [0.25, 0.5, 0.25], strict=True):
        assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / draws)


def test_a_batch_is_of_one_corpus_or_of_several():
    apart = [len({*corpus_of(batch[:, 1])}) for batch in order_of(False).run(0, 100, None)]
    assert set(apart) == {1}
    mixed = [len({*corpus_of(batch[:, 1])}) for batch in order_of(True).run(0, 100, None)]
    assert max(mixed) > 1


@given(start=st.integers(0, 120), seed=st.integers(0, 2**62), mixed=st.booleans())
def test_a_resumed_run_matches_an_uninterrupted_one(start, seed, mixed):
    def lengths(epoch):
        return np.random.default_rng(epoch).integers(0, 40, sum(SIZES))

    whole = list(order_of(mixed, seed=seed).run(0, 130, lengths))
    again = list(order_of(mixed, seed=seed).run(start, 130, lengths))
    assert len(again) == 130 - start
    assert all((a == b).all() for a, b in zip(whole[start:], again, strict=True))


def test_shares_by_temperature():
    np.testing.assert_allclose(shares([1, 3], None, 1.0), [0.25, 0.75])
    np.testing.assert_allclose(shares([1, 4], None, 2.0), [1 / 3, 2 / 3])
    np.testing.assert_allclose(shares([1, 10**6], None, 1e9), [0.5, 0.5], atol=1e-6)


def test_buckets_hold_like_lengths():
    lengths = np.random.default_rng(0).integers(0, 40, sum(SIZES))
    batches = list(order_of(False, weights=(0, 1, 0)).run(0, 25, lambda epoch: lengths))
    spread = np.mean([np.ptp(lengths[batch[:, 1]]) for batch in batches])
    assert spread < 0.3 * 40
