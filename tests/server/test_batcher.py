"""Dynamic batching."""

import asyncio
import threading
import time

import pytest

from mmtx_cli.server.batcher import Batcher


def run(scenario, compute=None, largest=4, window=0.0, expected=lambda: 0):
    """Run a scenario with a batcher; the batches that it computed."""
    batches = []

    def record(key, items):
        batches.append((key, list(items)))
        return compute(key, items) if compute else [10 * item for item in items]

    async def main():
        batcher = Batcher(record, largest, window, expected)
        task = asyncio.create_task(batcher.run())
        try:
            await asyncio.wait_for(scenario(batcher), 30)
        finally:
            task.cancel()
            batcher.close()

    asyncio.run(main())
    return batches


def test_items_that_wait_are_computed_together_in_their_order():
    async def scenario(batcher):
        found = await asyncio.gather(*(batcher.submit(i, "a") for i in range(6)))
        assert found == [0, 10, 20, 30, 40, 50]

    assert run(scenario) == [("a", [0, 1, 2, 3]), ("a", [4, 5])]


def test_only_equal_settings_share_a_batch():
    async def scenario(batcher):
        keys = ["a", "b", "a", "b", "c"]
        await asyncio.gather(*(batcher.submit(i, key) for i, key in enumerate(keys)))

    assert run(scenario) == [("a", [0, 2]), ("b", [1, 3]), ("c", [4])]


def test_what_arrives_during_a_batch_is_the_next_one():
    started, go = threading.Event(), threading.Event()

    def compute(key, items):
        started.set()
        go.wait(20)
        return items

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit(0, "a"))
        await asyncio.to_thread(started.wait, 20)
        others = [asyncio.create_task(batcher.submit(i, "a")) for i in (1, 2)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(first, *others) == [0, 1, 2]

    assert run(scenario, compute) == [("a", [0]), ("a", [1, 2])]


def test_it_waits_for_what_is_expected_and_no_longer():
    coming = [1]

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit(0, "a"))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(batcher.submit(1, "a"))
        coming[0] = 0
        batcher.notify()
        await asyncio.gather(first, second)

    assert run(scenario, window=20, expected=lambda: coming[0]) == [("a", [0, 1])]


def test_the_window_ends():
    async def scenario(batcher):
        start = time.monotonic()
        await batcher.submit(0, "a")
        assert time.monotonic() - start >= 0.1

    assert run(scenario, window=0.1, expected=lambda: 1) == [("a", [0])]


def test_a_full_batch_does_not_wait():
    async def scenario(batcher):
        await asyncio.gather(*(batcher.submit(i, "a") for i in range(4)))

    assert run(scenario, window=1000, expected=lambda: 1) == [("a", [0, 1, 2, 3])]


def test_an_error_is_that_of_its_batch_alone():
    def compute(key, items):
        if key == "bad":
            raise ValueError("no")
        return items

    async def scenario(batcher):
        found = await asyncio.gather(
            batcher.submit(1, "bad"), batcher.submit(2, "good"), return_exceptions=True
        )
        assert str(found[0]) == "no"
        assert found[1] == 2

    assert len(run(scenario, compute)) == 2


def test_a_cancelled_item_is_not_computed():
    async def scenario(batcher):
        gone = asyncio.create_task(batcher.submit(0, "a"))
        kept = asyncio.create_task(batcher.submit(1, "a"))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await kept == 10

    batches = run(scenario, window=0.2, expected=lambda: 1)
    assert batches == [("a", [1])]
