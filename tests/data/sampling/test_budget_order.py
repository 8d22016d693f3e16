"""Batches filled by tokens: within the budget, each sample once, the same however they are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.sampling.budget_order import BudgetOrder, snake


def order_of(lengths, budget, multiple=1, seed=3):
    """Lengths [c, n], which change with the epoch as drawn captions do."""
    return BudgetOrder(
        lengths.shape[1], budget, seed, lambda epoch: np.roll(lengths, epoch, axis=1), multiple
    )


@st.composite
def cases(draw):
    n, c = draw(st.integers(1, 60)), draw(st.integers(1, 3))
    numbers = draw(st.lists(st.integers(1, 9), min_size=n * c, max_size=n * c))
    lengths = np.array(numbers).reshape(c, n)
    multiple = draw(st.integers(1, 4))
    least = int(lengths.max(axis=1).sum()) * multiple
    return lengths, draw(st.integers(least, 4 * least)), multiple, draw(st.integers(0, 5))


@given(cases())
def test_every_epoch_has_each_sample_once_within_the_budget(case):
    lengths, budget, multiple, epoch = case
    order = order_of(lengths, budget, multiple)
    batches, now = order.epoch(epoch), np.roll(lengths, epoch, axis=1)
    rows = np.concatenate([np.empty(0, dtype=int), *batches])
    assert len(set(rows.tolist())) == len(rows)
    assert lengths.shape[1] - len(rows) < multiple
    for batch in batches:
        assert len(batch) % multiple == 0
        assert len(batch) * now[:, batch].max(axis=1).sum() <= budget


@given(cases(), st.integers(0, 30), st.integers(0, 30))
def test_resumes_at_every_batch(case, start, count):
    lengths, budget, multiple, _ = case
    if lengths.shape[1] < multiple:
        return
    total = start + count
    whole = list(order_of(lengths, budget, multiple).run(0, total))
    assert len(whole) == total
    tail = list(order_of(lengths, budget, multiple).run(start, total))
    assert len(tail) == count
    for a, b in zip(whole[start:], tail, strict=True):
        np.testing.assert_array_equal(a, b)


def test_epochs_differ_and_are_counted():
    lengths = np.random.default_rng(0).integers(1, 30, (1, 500))
    order = order_of(lengths, 240)
    total = order.batches(3)
    assert total == sum(len(order.epoch(e)) for e in range(3))
    run = np.concatenate(list(order.run(0, total)))
    for epoch in range(3):
        assert sorted(run[run[:, 0] == epoch, 1]) == list(range(500))
    first, second = (run[run[:, 0] == epoch, 1].tolist() for epoch in (0, 1))
    assert first != second
    assert order_of(lengths, 240, seed=4).epoch(0)[0].tolist() != order.epoch(0)[0].tolist()


def test_batches_are_full_and_of_like_length():
    """At most a tenth of a batch is padding or unused, where random ones waste half."""
    lengths = np.random.default_rng(0).integers(1, 31, (1, 20_000))
    batches = order_of(lengths, 1024).epoch(0)
    assert lengths.sum() / (1024 * len(batches)) > 0.9
    assert len({len(batch) for batch in batches}) > 10
    sizes = [len(batch) for batch in batches]
    assert abs(np.corrcoef(sizes, range(len(sizes)))[0, 1]) < 0.2, "batches are not shuffled"


def test_too_small_a_budget():
    with pytest.raises(ValueError, match="2 samples have more than 9 tokens"):
        order_of(np.array([[5, 5, 1]]), 9, multiple=2).epoch(0)


def test_neighbors_are_alike_across_pools():
    lengths = np.random.default_rng(0).permutation(100)
    found = lengths[snake(np.arange(100), lengths, 25)]
    assert np.abs(np.diff(found)).max() < 40
    assert sorted(found) == list(range(100))


@given(cases())
def test_the_largest_batch_begins_with_the_longest_samples(case):
    lengths, budget, multiple, _ = case
    if lengths.shape[1] < multiple:
        return
    order = order_of(lengths, budget, multiple)
    costs = [len(rows) * lengths[:, rows].max(axis=1).sum() for rows in order.epoch(0)]
    found = order.largest()
    assert len(found) * lengths[:, found].max(axis=1).sum() == max(costs)
    assert (np.diff(lengths[:, found].sum(axis=0)) <= 0).all()
