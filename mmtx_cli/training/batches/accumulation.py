"""Gradient accumulation with losses averaged exactly over all micro-batches of a step."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader

from mmtx_cli.distributed.collectives import world_size
from mmtx_cli.head.base import Head
from mmtx_cli.types import Batch


class StepLoader:
    """Wraps a loader of micro-batches; reads one step ahead to compute the loss weight of each."""

    def __init__(
        self,
        loader: DataLoader,
        parts: int,
        first: int,
        prepare: Callable[[list[Batch], int], list[Batch]],
    ) -> None:
        """Group the batches of a loader into steps.

        Args:
            loader: Yields micro-batches.
            parts: Micro-batches per step.
            first: Number of the first step.
            prepare: Takes the micro-batches of a step and its number; returns those to train on.
        """
        self.loader, self.parts, self.first, self.prepare = loader, parts, first, prepare

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self.loader)
        for step in count(self.first):
            parts = list(islice(batches, self.parts))
            if not parts:
                return
            yield from self.prepare(parts, step)


def with_shares(heads: Iterable[tuple[str, Head]], parts: Sequence[Batch]) -> list[Batch]:
    """Return the micro-batches of a step with their ``shares``.

    A loss is a mean over tokens or samples, whose number differs between micro-batches: the mean of
    their means is not the mean over all. Each micro-batch is therefore weighted by its count over
    all processes, relative to the mean count. Heads without a count get no share.
    """
    counts = {}
    for name, head in heads:
        each = [loss_count(name, head, part) for part in parts]
        if all(number is not None for number in each):
            counts[name] = torch.stack(each).double()  # type: ignore[arg-type]
    if not counts:
        return [*parts]
    whole = torch.stack([*counts.values()])
    if world_size() > 1:
        dist.all_reduce(whole)
    shares = (whole / whole.mean(dim=1, keepdim=True).clamp(min=1e-12)).float()
    return [
        replace(part, shares=dict(zip(counts, column, strict=True)))
        for part, column in zip(parts, shares.T, strict=True)
    ]


def loss_count(name: str, head: Head, batch: Batch) -> Tensor | None:
    """Return how many items the head's loss averages over, 0 if it is inactive, None if unknown."""
    rows = batch.head_masks.get(name)
    number = head.count(batch if rows is None else batch.select(rows))
    return number * 0 if number is not None and name in batch.inactive_heads else number
