"""Dynamic batching: requests that wait at the same time are captioned together."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Key = TypeVar("Key")


@dataclass
class Waiting(Generic[Key, Item]):
    """An item that waits for its result; only items with equal ``key`` form a batch."""

    item: Item
    key: Key
    done: "asyncio.Future[Any]" = field(repr=False)


class Batcher(Generic[Key, Item, Result]):
    """Computes results of batches in one thread, one batch after the other.

    A batch is begun when the thread is free. It has all items that wait then, in their order. If
    others are known to arrive soon (``expected``), it waits for them, at most ``window`` seconds:
    otherwise clients that send one request after the other would be served in two groups that
    wait for each other. A single client never waits.
    """

    def __init__(
        self,
        compute: Callable[[Key, Sequence[Item]], Sequence[Result]],
        largest: int,
        window: float,
        expected: Callable[[], int],
    ) -> None:
        """Start with no item.

        Args:
            compute: Returns the results of items with the same key.
            largest: Items in a batch.
            window: Seconds to wait for items that are expected.
            expected: Returns the number of items that are on their way.
        """
        self.compute, self.largest, self.window, self.expected = compute, largest, window, expected
        self.waiting: deque[Waiting[Key, Item]] = deque()
        self.changed = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, "model")
        self.batches = 0

    def notify(self) -> None:
        """Look again: an item has arrived, or is no longer expected."""
        self.changed.set()

    async def submit(self, item: Item, key: Key) -> Result:
        """Return the result of an item.

        If the caller is cancelled, so is the item unless its batch has begun.
        """
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.waiting.append(Waiting(item, key, done))
        self.notify()
        return await done

    async def run(self) -> None:
        """Compute batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self.next_batch()
            items = [each.item for each in batch]
            try:
                results = await loop.run_in_executor(self.thread, self.compute, batch[0].key, items)
                outcomes = zip(batch, results, strict=True)
                for each, result in outcomes:
                    if not each.done.done():
                        each.done.set_result(result)
            except Exception as error:  # of the whole batch; each caller reports it
                for each in batch:
                    if not each.done.done():
                        each.done.set_exception(error)
            self.batches += 1

    async def next_batch(self) -> list[Waiting[Key, Item]]:
        """Wait for items, and take those of the next batch from the queue."""
        deadline = None
        while True:
            self.changed.clear()
            self.waiting = deque(each for each in self.waiting if not each.done.done())
            if self.waiting:
                now = time.monotonic()
                deadline = deadline or now + self.window
                first = self.waiting[0].key
                batch = [each for each in self.waiting if each.key == first][: self.largest]
                if len(batch) == self.largest or not self.expected() or now >= deadline:
                    taken = {id(each) for each in batch}
                    self.waiting = deque(x for x in self.waiting if id(x) not in taken)
                    return batch
                await self.change_before(deadline - now)
            else:
                deadline = None
                await self.changed.wait()

    async def change_before(self, seconds: float) -> None:
        """Wait until ``notify`` is called, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """End the thread, after the batch that it computes."""
        self.thread.shutdown()
