import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.samples import SampleTable
from mmtx_cli.data.sampling.epoch_order import rank_slice
from mmtx_cli.data.sampling.mixture_order import MixtureOrder
from mmtx_cli.data.sampling.shard_order import ShardOrder, shard_paths
from tests.data.manifest.table.drawn import table_of

SHARDS = np.repeat(np.arange(20), 12)
LENGTHS = np.arange(240) * 7 % 31


def order(batch=8, seed=3, window=4, shards=SHARDS):
    return ShardOrder(len(shards), batch, seed, shards, window)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.integers(1, 9),
    st.integers(1, 8),
    st.integers(0, 3),
    st.booleans(),
)
def test_an_epoch_has_every_row_once(shards, batch, window, epoch, bucket):
    shards = np.unique(shards, return_inverse=True)[1]  # numbers without gaps
    lengths = np.arange(len(shards)) % 5 if bucket else None
    rows = order(batch, window=window, shards=shards).whole(epoch, lengths)
    assert sorted(rows) == list(range(len(shards)))


def test_it_depends_on_seed_and_epoch_alone():
    first = order().whole(2)
    assert (first == order().whole(2)).all()
    assert any((first != other).any() for other in (order(seed=4).whole(2), order().whole(3)))
    # the samples within a window do not keep the order of their shards
    assert (np.diff(first[:48]) != 1).sum() > 40


@pytest.mark.parametrize("bucket", [False, True])
def test_few_shards_are_read_at_a_time(bucket):
    rows = order(batch=2, window=4).whole(0, LENGTHS if bucket else None)
    window = 4 * 12
    used = [len(set(SHARDS[rows[i : i + window]])) for i in range(0, len(rows), window)]
    # a pool of batches of similar length (100 rows) spreads over at most three windows
    assert used == [4] * 5 if not bucket else max(used) <= 12
    assert len(set(SHARDS[np.random.default_rng(0).permutation(240)[:window]])) > 16


def test_windows_are_those_of_the_order():
    epoch = order().whole(1)
    windows = list(order().shards_by_window(1))
    assert [begin for begin, _ in windows] == [0, 48, 96, 144, 192]
    for begin, shards in windows:
        assert set(SHARDS[epoch[begin : begin + 48]]) == set(shards)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_ranks_see_every_row_once_and_a_resumed_run_what_is_left(world):
    made = order(batch=12)
    whole = list(made.run(0, 40, None))
    epoch = np.concatenate([rank_slice(b, r, world) for b in whole[:20] for r in range(world)])
    assert sorted(epoch[:, 1]) == list(range(240))
    for start in range(1, 40):
        rest = list(order(batch=12).run(start, 40, None))
        assert all((a == b).all() for a, b in zip(rest, whole[start:], strict=True))


@pytest.mark.parametrize("mixed", [False, True])
def test_a_mixture_reads_each_corpus_in_its_own_order(mixed):
    sizes, share = [240, 60], np.array([0.7, 0.3])
    orders = [order(), ShardOrder(60, 8, 4, SHARDS[:60], 4)]
    whole = list(MixtureOrder(sizes, share, 8, 3, mixed, orders).run(0, 90, None))
    rows = np.concatenate(whole)
    first = [row for epoch, row in rows if row < 240 and epoch == 0]
    assert first == orders[0].whole(0).tolist()[: len(first)]
    assert len(first) == 240
    for start in (1, 17, 60):
        rest = MixtureOrder(sizes, share, 8, 3, mixed, orders).run(start, 90, None)
        assert all((a == b).all() for a, b in zip(rest, whole[start:], strict=True))


def test_samples_without_files_are_read_with_those_before_them(tmp_path, monkeypatch):
    samples = [
        Sample("a", "train", image=("/d/1.tar::a.jpg",)),
        Sample("b", "train"),
        Sample("c", "train", video="/d/0.tar::c.mp4", image=("/other.jpg",)),
        Sample("d", "train", image=("/d/1.tar::d.jpg",)),
    ]
    numbers, paths = shard_paths(samples)
    assert numbers.tolist() == [0, 0, 1, 0]
    assert paths == ["/d/1.tar", "/d/0.tar"]
    assert shard_paths([Sample("a", "train")])[1] == []
    table = table_of(samples, tmp_path / "t" / "samples.arrow")
    first = shard_paths(table)
    monkeypatch.setattr(SampleTable, "blocks", None)  # stored: no row is read again
    for numbers, paths in (first, shard_paths(table)):
        assert numbers.tolist() == [0, 0, 1, 0]
        assert paths == ["/d/1.tar", "/d/0.tar"]
