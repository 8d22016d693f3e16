import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.data.cache.card import Card
from mmtx_cli.data.cache.content import ContentKeys
from mmtx_cli.data.cache.module_outputs import CHANGED, NONE, ModuleOutputs
from mmtx_cli.data.cache.shard import Fault
from mmtx_cli.data.cache.writer import ShardWriter
from mmtx_cli.errors import DataError
from mmtx_cli.media.errors import UnreadableError
from tests.messages import raises

WIDTH = 3


def card(dtype="float32"):
    return Card("encoder.image", "image", "w", {}, {}, None, 0, WIDTH, dtype)


def contents(names, states):
    return ContentKeys(np.array(names, dtype=np.uint64), np.array(states, dtype=np.uint64))


def vectors(length, seed):
    return torch.randn(length, WIDTH, generator=torch.Generator().manual_seed(seed))


def written(folder, lengths, shard_bytes=10**9, dtype=torch.float32, start=0):
    """Entry i is called start + i, its state is 7 i; negative lengths are faults."""
    writer = ShardWriter(folder, WIDTH, dtype, shard_bytes)
    for i, length in enumerate(lengths, start):
        if length < 0:
            writer.add_fault(i, 7 * i, Fault(f"{i}.jpg", "cut off"))
        else:
            writer.add(i, 7 * i, vectors(length, i))
    writer.flush()


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(-1, 6), max_size=30),
    shard_bytes=st.integers(1, 300),
    second=st.integers(0, 30),
)
def test_every_entry_is_found_whatever_the_shards(lengths, shard_bytes, second):
    with TemporaryDirectory() as name:
        folder = Path(name)
        # in two calls, as after an interruption
        written(folder, lengths[:second], shard_bytes)
        written(folder, lengths[second:], shard_bytes, start=min(second, len(lengths)))
        part = ModuleOutputs(folder, card())
        assert len(part) == len(lengths)
        ids = list(range(len(lengths)))
        found = part.find(contents([*ids, 2**63 + 5], [*(7 * i for i in ids), 0]))
        assert found[-1] == NONE
        for i, length in zip(ids, lengths, strict=True):
            if length < 0:
                with pytest.raises(UnreadableError, match=f"{i}.jpg: cut off"):
                    part.read(int(found[i]))
            elif length == 0:
                assert part.read(int(found[i])) is None
            else:
                torch.testing.assert_close(part.read(int(found[i])), vectors(length, i))
        changed = part.find(contents(ids, [7 * i + 1 for i in ids]))
        assert (changed == CHANGED).all()


def test_what_was_written_last_is_found(tmp_path):
    written(tmp_path, [2, 2])
    writer = ShardWriter(tmp_path, WIDTH, torch.float32)
    writer.add(1, 8, vectors(4, 99))
    writer.flush()
    part = ModuleOutputs(tmp_path, card())
    old, new = part.find(contents([1, 1], [7, 8]))
    assert old == CHANGED
    torch.testing.assert_close(part.read(int(new)), vectors(4, 99))


def test_names_of_64_bits(tmp_path):
    writer = ShardWriter(tmp_path, WIDTH, torch.float32)
    big = 2**64 - 1
    writer.add(big, big - 1, vectors(1, 0))
    writer.flush()
    part = ModuleOutputs(tmp_path, card())
    assert part.find(contents([big, 2**63], [big - 1, 0])).tolist() == [0, NONE]


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_half_precision_rounds_to_nearest(tmp_path, dtype, bits):
    written(tmp_path, [5], dtype=getattr(torch, dtype))
    part = ModuleOutputs(tmp_path, card(dtype))
    x = part.read(0)
    assert part.vector == (WIDTH, getattr(torch, dtype))
    assert x.dtype == getattr(torch, dtype)
    error = (x.double() - vectors(5, 0).double()).abs()
    assert (error <= vectors(5, 0).double().abs() * 2.0**-bits).all()
    assert error.max() > 0


def test_numbers_that_do_not_fit_are_refused(tmp_path):
    writer = ShardWriter(tmp_path, WIDTH, torch.float16)
    with raises(DataError, "a7: ", " float16", " dtype=bfloat16"):
        writer.add(0, 0, torch.full((1, WIDTH), 1e5), "a7")
    with raises(DataError, "a7: ", " finite"):
        writer.add(0, 0, torch.full((1, WIDTH), torch.nan), "a7")


def test_a_truncated_shard_is_reported(tmp_path):
    written(tmp_path, [2, 2])
    path = tmp_path / "000000.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with raises(DataError, f"{path}: ", "shard", "remove"):
        ModuleOutputs(tmp_path, card())


def test_a_write_that_stops_half_way_leaves_no_shard(tmp_path, monkeypatch):
    written(tmp_path, [2])

    def stopped(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", stopped)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, [2], start=1)
    assert [p.name for p in tmp_path.iterdir()] == ["000000.safetensors"]
    assert len(ModuleOutputs(tmp_path, card())) == 1


def test_each_worker_maps_the_shards_itself(tmp_path):
    written(tmp_path, [2, 3], shard_bytes=1)
    part = ModuleOutputs(tmp_path, card())
    first = part.read(1)
    other = pickle.loads(pickle.dumps(part))
    assert not other.mapped
    torch.testing.assert_close(other.read(1), first)


def test_an_empty_part(tmp_path):
    assert ModuleOutputs(tmp_path, card()).find(contents([1], [1])).tolist() == [NONE]
