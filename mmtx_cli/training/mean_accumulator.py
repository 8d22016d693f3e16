"""Means of values over the batches of all processes."""

import torch
from torch import Tensor

from mmtx_cli.distributed.collectives import world_size


class MeanAccumulator:
    """Accumulates weighted values on the device until their means are read."""

    def __init__(self) -> None:
        self.records: dict[str, list[tuple[Tensor, Tensor | float]]] = {}

    def add(self, name: str, value: Tensor, count: Tensor | float) -> None:
        """Record the mean ``value`` of ``count`` items without reading it from the device."""
        self.records.setdefault(name, []).append((value, count))

    def merge(self, other: "MeanAccumulator") -> None:
        """Move the records of ``other`` into this accumulator, which leaves ``other`` empty."""
        for name, pairs in other.records.items():
            self.records.setdefault(name, []).extend(pairs)
        other.records = {}

    def means(self, everywhere: bool = False) -> dict[str, float]:
        """Return the means since the last call, over all processes if ``everywhere``, and reset."""
        records, self.records = self.records, {}
        names = gather_names([*records]) if everywhere else [*records]
        if not names:
            return {}
        sums = torch.stack([weighted_sum(records[n]) for n in records])
        if names != [*records]:  # other processes noted more
            index = torch.tensor([names.index(n) for n in records], device=sums.device)
            sums = sums.new_zeros(len(names), 2).index_copy(0, index, sums)
        if everywhere and world_size() > 1:
            torch.distributed.all_reduce(sums)
        totals, counts = sums.T.tolist()
        return {n: t / c if c else 0.0 for n, t, c in zip(names, totals, counts, strict=True)}


def gather_names(names: list[str]) -> list[str]:
    """Return the union of the names of all processes, in the same order on each."""
    if world_size() == 1:
        return names
    gathered: list[list[str]] = [[] for _ in range(world_size())]
    torch.distributed.all_gather_object(gathered, names)
    return [*dict.fromkeys(name for rank_names in gathered for name in rank_names)]


def weighted_sum(pairs: list[tuple[Tensor, Tensor | float]]) -> Tensor:
    """Return [sum of value times count, sum of counts]."""
    values = torch.stack([value for value, _ in pairs]).float()
    counts = torch.stack([torch.as_tensor(n, device=values.device) for _, n in pairs]).float()
    return torch.stack([(values * counts).sum(), counts.sum()])
