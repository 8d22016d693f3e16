"""Check at the start that all processes read the same data with the same settings."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import torch.distributed as dist

from mmtx_cli.distributed.collectives import world_size
from mmtx_cli.errors import DataError

SHOWN = 3
"""Maximum number of differences that a message lists."""


def check_agreement(facts: Mapping[str, Any], what: str) -> None:
    """Compare facts of all processes; each of them must call this.

    Args:
        facts: Plain values, in nested mappings, that must be equal in all processes.
        what: Where they come from, for the message.

    Raises:
        DataError: in every process, naming the first one that differs from rank 0.
    """
    if world_size() == 1:
        return
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, (socket.gethostname(), facts))
    first_host, first = gathered[0]
    for rank, (host, other) in enumerate(gathered):
        differences = list(differing(first, other))
        if differences:
            more = len(differences) - SHOWN
            shown = ", ".join(differences[:SHOWN]) + (f" and {more} more" if more > 0 else "")
            raise DataError(
                f"{what}: rank {rank} (on {host}) and rank 0 (on {first_host}) read different "
                f"data: {shown}; give all nodes the same files"
            )


def differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield where nested mappings differ; numbers with both values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            yield from differing(one.get(key), other.get(key), f"{path} {key}".strip())
    elif one != other:
        numbers = isinstance(one, int) and isinstance(other, int)
        yield f"{path} ({other} instead of {one})" if numbers else path
