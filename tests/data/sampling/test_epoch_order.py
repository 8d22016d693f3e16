import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.sampling.epoch_order import POOL, TrainOrder, evaluation_batches, rank_slice

sizes = st.integers(1, 300)
seeds = st.integers(0, 2**63 - 1)


def lengths_of(num, seed):
    return np.random.default_rng(seed).integers(0, 40, num)


@given(num=sizes, batch_size=st.integers(1, 64), seed=seeds, epoch=st.integers(0, 1000))
@pytest.mark.parametrize("bucket", [False, True])
def test_an_epoch_holds_each_sample_once_but_for_a_remainder(num, batch_size, seed, epoch, bucket):
    order = TrainOrder(num, batch_size, seed)
    batches = order.epoch(epoch, lengths_of(num, 1) if bucket else None)
    assert batches.shape == (len(order), min(batch_size, num))
    assert len(np.unique(batches)) == batches.size
    assert 0 <= num - batches.size < batch_size
    assert set(batches.flat) <= set(range(num))


@given(num=sizes, seed=seeds, epoch=st.integers(0, 1000))
def test_is_a_function_of_seed_epoch_and_number(num, seed, epoch):
    lengths = lengths_of(num, 2)
    once, again = TrainOrder(num, 4, seed), TrainOrder(num, 4, seed)
    again.epoch(epoch + 1)  # what was asked before has no say
    np.random.seed(epoch)
    assert np.array_equal(once.epoch(epoch), again.epoch(epoch))
    assert np.array_equal(once.epoch(epoch, lengths), again.epoch(epoch, lengths))


def test_epochs_and_seeds_differ():
    shuffles = {
        tuple(TrainOrder(50, 50, seed).epoch(epoch).flat) for seed in range(4) for epoch in range(4)
    }
    assert len(shuffles) == 16


def test_every_place_is_as_likely():
    places = np.array([np.argsort(TrainOrder(8, 8, 0).epoch(e)[0]) for e in range(2000)])
    counts = np.stack([np.bincount(column, minlength=8) for column in places.T])
    assert abs(counts - 250).max() < 5 * np.sqrt(250)


def test_dropped_samples_differ_between_epochs():
    order = TrainOrder(10, 4, 0)
    left_out = {i for e in range(30) for i in set(range(10)) - set(order.epoch(e).flat)}
    assert left_out == set(range(10))


@given(num=st.integers(64, 600), seed=seeds)
def test_buckets_hold_like_lengths(num, seed):
    lengths = lengths_of(num, seed)
    order = TrainOrder(num, 8, seed)
    spread = [np.ptp(lengths[batch]) for batch in order.epoch(3, lengths)]
    shuffled = [np.ptp(lengths[batch]) for batch in order.epoch(3)]
    assert np.mean(spread) < np.mean(shuffled) / 2


def test_pools_are_small_enough_to_mix():
    num = 16 * POOL
    lengths = np.arange(num)
    order = TrainOrder(num, 4, 0)
    together = [{tuple(sorted(batch)) for batch in order.epoch(e, lengths)} for e in (0, 1)]
    assert not together[0] & together[1]
    # and long ones do not come after short ones
    growing = np.diff(lengths[order.epoch(0, lengths)[:, 0]]) > 0
    assert 0.35 < growing.mean() < 0.65


@given(num=sizes, batch_size=st.integers(1, 40), world=st.integers(1, 5))
def test_processes_share_a_batch(num, batch_size, world):
    batch = TrainOrder(num, batch_size, 0).epoch(0)[0]
    shares = [rank_slice(batch, rank, world) for rank in range(world)]
    assert {len(share) for share in shares} == {len(batch) // world}
    if len(batch) % world == 0:
        assert np.array_equal(np.concatenate(shares), batch)


@given(num=st.integers(0, 200), batch_size=st.integers(1, 40), world=st.integers(1, 5))
def test_evaluation_sees_each_sample_once_long_ones_first(num, batch_size, world):
    lengths = lengths_of(num, 4)
    shares = [list(evaluation_batches(lengths, batch_size, r, world)) for r in range(world)]
    rows = [row for share in shares for batch in share for row in batch]
    assert sorted(rows) == list(range(num))
    assert all(len(batch) <= batch_size for share in shares for batch in share)
    alone = list(evaluation_batches(lengths, batch_size, 0, 1))
    together = [shares[k % world][k // world] for k in range(len(alone))]
    assert [list(batch) for batch in together] == [list(batch) for batch in alone]
    if num:
        assert lengths[shares[0][0][0]] == lengths.max()
