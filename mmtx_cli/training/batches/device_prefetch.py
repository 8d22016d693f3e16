"""Copies of the next batches to the device while the current step computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from mmtx_cli.types import Batch

Wait = Callable[[], Batch]
"""Returns a batch on the device, once its copy can be used."""


class DevicePrefetch:
    """Wraps a loader: the same batches in the same order, ``ahead`` of them started early.

    On a GPU, a stream of its own copies from page-locked memory (``data.pin_memory``) while the
    stream of the step computes. On a CPU there is nothing to copy and batches pass unchanged.
    Batches that are read ahead count as read only when they are returned, so that a resumed run
    continues after the last batch that was used.
    """

    def __init__(self, loader: Any, device: torch.device, ahead: int) -> None:
        """``ahead`` is the number of batches beyond the current one whose copies are started."""
        self.loader, self.device, self.ahead = loader, device, ahead

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        if self.device.type == "cpu" or not self.ahead:
            return iter(self.loader)
        return ahead_of(self.loader, cuda_copy(self.device), self.ahead)


def ahead_of(
    loader: Iterable[Batch], start: Callable[[Batch], Wait], ahead: int
) -> Iterator[Batch]:
    """Yield the batches of a loader in order, with ``start`` called ``ahead`` batches early."""
    batches = iter(loader)
    started = deque(start(batch) for batch in islice(batches, ahead))
    for batch in batches:
        started.append(start(batch))
        yield started.popleft()()
    while started:
        yield started.popleft()()


def cuda_copy(device: torch.device) -> Callable[[Batch], Wait]:
    """Return a function that starts the copy of a batch on a stream of its own."""
    side: Any = torch.cuda.Stream(device)

    def start(batch: Batch) -> Wait:
        with torch.cuda.stream(side):
            copy = batch.to(device, non_blocking=True)
            done = side.record_event()

        def wait() -> Batch:
            current = torch.cuda.current_stream(device)
            current.wait_event(done)
            # the allocator may reuse the memory only after the work of this stream
            return copy.map(partial(kept_for, current))

        return wait

    return start


def kept_for(stream: Any, x: Tensor) -> Tensor:
    """Return a tensor whose memory is not reused before the work of ``stream`` is done."""
    x.record_stream(stream)
    return x
