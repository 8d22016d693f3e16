"""Means of losses and metrics over several steps, without waiting for the device at each."""

from typing import Any

import torch
from torch import Tensor

from mmtx_cli.distributed.collectives import rank, world_size
from mmtx_cli.errors import CheckpointError


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
        each = [weighted_sum(records[n]) for n in records]
        device = next((x.device for x in each if x.device.type != "cpu"), each[0].device)
        sums = torch.stack([x.to(device) for x in each])
        if names != [*records]:  # other processes noted more
            index = torch.tensor([names.index(n) for n in records], device=sums.device)
            sums = sums.new_zeros(len(names), 2).index_copy(0, index, sums)
        if everywhere and world_size() > 1:
            torch.distributed.all_reduce(sums)
        totals, counts = sums.T.tolist()
        return {n: t / c if c else 0.0 for n, t, c in zip(names, totals, counts, strict=True)}

    def state(self) -> list[dict[str, Tensor]]:
        """Return the records of each process for a checkpoint: by name, values and counts [n, 2].

        Called by all processes together.
        """
        own = {name: stacked(pairs).cpu() for name, pairs in self.records.items()}
        if world_size() == 1:
            return [own]
        states: list[dict[str, Tensor]] = [{}] * world_size()
        torch.distributed.all_gather_object(states, own)
        return states

    def load_state(self, states: Any) -> None:
        """Continue with the records in a checkpoint; with other processes, the first has them all.

        Raises:
            CheckpointError: if they are not of the form of ``state``.
        """
        if states is None:  # of an earlier version
            return
        if not is_state(states):
            raise CheckpointError("the checkpoint's train_tally is not a record of metrics")
        own = [states[rank()]] if len(states) == world_size() else states * (rank() == 0)
        self.records = {}
        for state in own:
            for name, pairs in state.items():
                records = self.records.setdefault(name, [])
                records += [(value, count) for value, count in pairs.unbind()]


def is_state(states: Any) -> bool:
    """Return True for a list of records by name, each of values and counts [n, 2]."""
    return isinstance(states, list) and all(
        isinstance(state, dict)
        and all(
            isinstance(name, str)
            and isinstance(pairs, Tensor)
            and pairs.is_floating_point()
            and pairs.dim() == 2
            and pairs.shape[1] == 2
            for name, pairs in state.items()
        )
        for state in states
    )


def stacked(pairs: list[tuple[Tensor, Tensor | float]]) -> Tensor:
    """Return values and counts as floats [n, 2], on the device of the last value."""
    device = pairs[-1][0].device  # values of a checkpoint are on the CPU
    values = torch.stack([value.to(device) for value, _ in pairs]).float()
    counts = torch.stack([torch.as_tensor(n, device=device) for _, n in pairs]).float()
    return torch.stack([values, counts], dim=1)


def gather_names(names: list[str]) -> list[str]:
    """Return the union of the names of all processes, in the same order on each."""
    if world_size() == 1:
        return names
    gathered: list[list[str]] = [[] for _ in range(world_size())]
    torch.distributed.all_gather_object(gathered, names)
    return [*dict.fromkeys(name for rank_names in gathered for name in rank_names)]


def weighted_sum(pairs: list[tuple[Tensor, Tensor | float]]) -> Tensor:
    """Return [sum of value times count, sum of counts]."""
    values, counts = stacked(pairs).unbind(1)
    return torch.stack([(values * counts).sum(), counts.sum()])
