"""One of the processes that share the work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Process:
    """A process in the group of processes that share the work.

    Args:
        rank: Number of the process.
        world: Number of processes.
        device: The ``torch.device`` of the model; None for a model that runs without torch.
        barrier: Waits for the other processes.
        progress: Whether the first process shows progress.
    """

    rank: int
    world: int
    device: Any
    barrier: Callable[[], None]
    progress: bool = True

    @property
    def is_first(self) -> bool:
        """True for the process that merges and reports results."""
        return self.rank == 0

    @property
    def shows_progress(self) -> bool:
        """True for the process that shows progress."""
        return self.is_first and self.progress
