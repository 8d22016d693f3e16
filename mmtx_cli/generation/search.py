"""The loop that generates texts with any decoder and any search method.

Inputs that are finished leave the batch; waiting ones take their place.

Shape letters: b inputs, k rows per input, t tokens, v vocabulary, d width.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.generation.method import Method
from mmtx_cli.generation.texts import Texts


@runtime_checkable
class Stepper(Protocol):
    """What generates one token at a time: a decoder."""

    def start(self, context: Any, beams: int, length: int) -> Any:
        """Return the cache of some inputs."""

    def step(self, tokens: Int[Tensor, "b k"], state: Any, position: int) -> Float[Tensor, "b k d"]:
        """Return the states that predict the token after ``tokens``."""

    def logits(self, hidden: Float[Tensor, "*s d"]) -> Float[Tensor, "*s v"]:
        """Return the logits."""


KEPT = 0.75
"""Share of unfinished inputs below which the finished ones leave the batch: a step costs less, but
rows of the cache are copied."""


@runtime_checkable
class Inputs(Protocol):
    """The contexts of some inputs."""

    def select(self, inputs: Int[Tensor, " m"]) -> Any:
        """Return the contexts of some inputs."""

    def __len__(self) -> int: ...


Arrived = tuple[Inputs, Int[Tensor, " b"], Int[Tensor, " b"]]
"""Contexts of some inputs, their random keys and their numbers."""


class Waiting:
    """Inputs that wait for a place, in their order."""

    def __init__(self, source: Iterable[tuple[Inputs, Tensor]]) -> None:
        """``source`` yields contexts and the random keys of their inputs."""
        self.source = iter(source)
        self.rest: list[Arrived] = []
        self.count = 0

    def take(self, most: int) -> Arrived | None:
        """Return up to ``most`` inputs that come together, or None if there are no more."""
        found = self.rest.pop(0) if self.rest else self.next()
        if found is None:
            return None
        context, keys, numbers = found
        if len(keys) > most:
            order = torch.arange(len(keys), device=keys.device)
            self.put_back((context.select(order[most:]), keys[most:], numbers[most:]))
            return context.select(order[:most]), keys[:most], numbers[:most]
        return found

    def next(self) -> Arrived | None:
        """Return the next inputs of the source."""
        if (found := next(self.source, None)) is None:
            return None
        context, keys = found
        numbers = torch.arange(self.count, self.count + len(keys), device=keys.device)
        self.count += len(keys)
        return context, keys, numbers

    def put_back(self, arrived: Arrived) -> None:
        """Let inputs that were taken wait again, before all others of the source."""
        self.rest.insert(0, arrived)


@torch.no_grad()
def search(
    decoder: Stepper,
    source: Iterable[tuple[Inputs, Tensor]],
    method: Method,
    capacity: int | None = None,
) -> Iterator[tuple[Tensor, Texts]]:
    """Yield the numbers of inputs that are finished and their texts, in any order.

    Args:
        decoder: Generates one token at a time.
        source: Contexts of inputs with their random keys; the inputs are numbered in their order.
        method: How tokens are chosen.
        capacity: Largest number of inputs at a time; None: those that come together.
    """
    waiting = Waiting(source)
    most = capacity or 2**62
    while (arrived := waiting.take(most)) is not None:
        yield from run(decoder, arrived, waiting, method)


def run(
    decoder: Stepper,
    arrived: Arrived,
    waiting: Waiting,
    method: Method,
) -> Iterator[tuple[Tensor, Texts]]:
    """Yield finished inputs until all places are free.

    Args:
        decoder: Generates one token at a time.
        arrived: The first inputs.
        waiting: Further ones, which take the places of those that are finished.
        method: How tokens are chosen.
    """
    context, keys, index = arrived
    state, now = decoder.start(context, method.rows, method.steps), method.begin(keys)
    yielded = torch.zeros_like(index, dtype=torch.bool)
    position, takes = 0, state.can_replace
    while True:
        hidden = decoder.step(now.last, state, position)
        origin = method.advance(now, decoder.logits(hidden), hidden)
        position += 1
        if origin is not None:
            first = torch.arange(len(origin), device=origin.device)[:, None] * method.rows
            state.reorder((first + origin).flatten(), position)
        ended = ~yielded & (now.done | (now.length >= method.limits.max_length - 1))
        if not ended.any():
            continue
        new = ended.nonzero()[:, 0]
        yield index[new], method.results(now.only(new))
        now.group_done[new], yielded = True, yielded | ended
        kept, free = (~yielded).nonzero()[:, 0], yielded.nonzero()[:, 0]
        if len(kept) > KEPT * len(yielded):
            continue
        if takes and (fresh := waiting.take(len(free))):
            context, keys, numbers = fresh
            places = free[: len(keys)]
            takes = state.replace(
                places, decoder.start(context, method.rows, method.steps), position
            )
            if takes:
                now.put(places, method.begin(keys))
                index[places], yielded[places] = numbers, False
                continue
            waiting.put_back(fresh)
        if not len(kept):
            return
        order = compacted(kept)
        state.keep(order, method.rows)
        now, index, yielded = now.only(order), index[order], yielded[order]


def compacted(kept: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
    """Return inputs in an order in which most stay in their places: the last ones fill the gaps."""
    order = torch.arange(len(kept), device=kept.device)
    gaps = torch.ones_like(order, dtype=torch.bool)
    gaps[kept[kept < len(kept)]] = False
    order[gaps] = kept[kept >= len(kept)]
    return order
