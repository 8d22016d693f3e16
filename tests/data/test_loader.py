import itertools

import pytest
import torch

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.loader import (
    EvaluationSampler,
    FurtherTexts,
    TrainSampler,
    default_workers,
    make_loader,
)
from mmtx_cli.data.sampling.epoch_order import TrainOrder
from mmtx_cli.media.transform import augmentation

from .small import LENGTH, SIDE, rows, samples_of

SIZE = 5


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return rows(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def samples(made):
    augment = augmentation(SIDE, scale=[0.3, 1.0], color=0.3)
    return samples_of(made, training=True, seed=3, augment=augment)


def sampler_of(samples, total=10, start=0, rank=0, world=1, bucket=True, size=SIZE):
    order = TrainOrder(len(samples), size, 7)
    return TrainSampler(samples, order, total, start, rank, world, bucket)


@pytest.mark.parametrize("bucket", [False, True])
@pytest.mark.parametrize("start", [0, 1, 3, 4, 5, 9, 10])
def test_begins_in_the_middle(samples, start, bucket):
    whole = sampler_of(samples, bucket=bucket)
    tail = sampler_of(samples, start=start, bucket=bucket)
    assert list(tail) == list(whole)[start:]
    assert len(tail) == len(whole) == len(list(whole)) == 10


def test_epochs_follow_each_other(samples):
    batches = list(sampler_of(samples, total=10))
    assert [batch[0][0] for batch in batches] == [0] * 4 + [1] * 4 + [2] * 2
    for epoch in (0, 1):
        seen = [row for batch in batches for e, row in batch if e == epoch]
        assert len(set(seen)) == len(seen) == 20


def test_a_bucket_holds_texts_of_like_length(samples):
    def spread(bucket):
        lengths = [samples.texts.lengths(epoch) for epoch in range(12)]
        batches = sampler_of(samples, total=48, bucket=bucket)
        return sum(max(own) - min(own) for own in ([lengths[e][r] for e, r in b] for b in batches))

    assert spread(True) < 0.6 * spread(False)


def test_processes_share_each_batch(samples):
    whole = list(sampler_of(samples, size=6))
    shares = [list(sampler_of(samples, size=6, rank=rank, world=3)) for rank in range(3)]
    assert [[*a, *b, *c] for a, b, c in zip(*shares, strict=True)] == whole


def equal(a, b):
    assert a.ids == b.ids
    for name, field in a.inputs.items():
        assert torch.equal(field.data, b.inputs[name].data)
        assert torch.equal(field.mask, b.inputs[name].mask)
    for name, target in a.targets.items():
        assert torch.equal(target, b.targets[name])
    assert a.read_errors == b.read_errors


@pytest.fixture(scope="module")
def without_workers(made):
    """What is read without workers."""
    augment = augmentation(SIDE, scale=[0.3, 1.0], color=0.3)
    samples = samples_of(made, training=True, seed=3, augment=augment)
    return list(make_loader(samples, sampler_of(samples), 0))


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("start", [0, 6])
def test_any_number_of_workers_brings_the_same(samples, without_workers, workers, start):
    torch.manual_seed(workers)
    batches = list(make_loader(samples, sampler_of(samples, start=start), workers))
    assert len(batches) == len(without_workers) - start
    for found, wanted in zip(batches, without_workers[start:], strict=True):
        equal(found, wanted)


def test_any_number_of_processes_sees_the_same(samples):
    whole = list(make_loader(samples, sampler_of(samples, size=6), 0))
    shares = [
        list(make_loader(samples, sampler_of(samples, size=6, rank=rank, world=2), 0))
        for rank in range(2)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert batch.ids == parts[0].ids + parts[1].ids
        pictures = [part.inputs["image"].data for part in parts]
        assert torch.equal(batch.inputs["image"].data, torch.cat(pictures))
        for name, target in batch.targets.items():
            halves = [part.targets[name] for part in parts]
            for row, found in zip(target, itertools.chain(*halves), strict=True):
                assert torch.equal(row[..., : found.shape[-1]] if row.dim() else row, found)


@pytest.mark.parametrize("world", [1, 2, 7])
def test_evaluation_brings_each_sample_once(made, world):
    samples = samples_of(made)
    batches = [
        batch
        for rank in range(world)
        for batch in make_loader(samples, EvaluationSampler(samples, SIZE, rank, world), 0)
    ]
    assert sorted(i for batch in batches for i in batch.ids) == sorted(row.id for row in made)
    assert all(len(batch) <= SIZE for batch in batches)


@pytest.mark.parametrize("world", [1, 2])
def test_further_texts_come_once_and_alone(made, world):
    samples = samples_of(
        made, needs=(), preparation=Preprocessing(SIDE, "crop", "captions", LENGTH)
    )
    keys = []
    for rank in range(world):
        further = FurtherTexts(samples, EvaluationSampler(samples, SIZE, rank, world))
        assert len(list(further)) == len(further)
        keys += [key for batch in further for key in batch]
        for batch in make_loader(samples, further, 0):
            assert batch.inputs["text"].mask.any(dim=1).all()
            assert not batch.inputs["image"].mask.any()
    wanted = [(t, i) for i, row in enumerate(made) for t in range(1, len(row.captions))]
    assert sorted(keys) == sorted(wanted)


def test_lengths_are_rounded_up(samples):
    batches = list(make_loader(samples, sampler_of(samples), 0, round_to=8))
    assert batches
    assert {batch.inputs["text"].data.shape[1] for batch in batches} <= {8, LENGTH}


def test_workers_leave_a_core_to_the_model(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, wanted in [(1, 0), (2, 1), (4, 3), (64, 8)]:
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        assert default_workers() == wanted
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert default_workers() == 7
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert default_workers() == 0
