"""Batches whose copies start early: the same ones in the same order."""

import pytest
import torch

from mmtx_cli.training.batches.device_prefetch import DevicePrefetch, ahead_of
from mmtx_cli.types import Batch


def batches(count):
    return [Batch({}, {"number": torch.tensor([i])}, [str(i)]) for i in range(count)]


@pytest.mark.parametrize("ahead", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_the_same_batches_in_order_and_copies_in_time(count, ahead):
    events = []

    def start(batch):
        events.append(f"start {batch.ids[0]}")

        def wait():
            events.append(f"wait {batch.ids[0]}")
            return batch

        return wait

    found = []
    for batch in ahead_of(batches(count), start, ahead):
        found.append(batch.ids[0])
        last = min(count - 1, int(batch.ids[0]) + ahead)
        assert f"start {last}" in events  # before the step of this batch begins
        assert f"start {last + 1}" not in events  # and no more, as they take memory
        events.append("step")
    assert found == [str(i) for i in range(count)]
    assert events.count("step") == len([e for e in events if e.startswith("wait")]) == count


def test_on_a_cpu_batches_pass_unchanged():
    made = batches(3)
    loader = DevicePrefetch(made, torch.device("cpu"), 2)
    assert len(loader) == 3
    assert all(a is b for a, b in zip(loader, made, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_copies_on_a_gpu():
    made = [batch.pin_memory() for batch in batches(5)]
    found = list(DevicePrefetch(made, torch.device("cuda"), 2))
    assert [int(b.targets["number"]) for b in found] == list(range(5))
    assert all(b.targets["number"].is_cuda for b in found)
