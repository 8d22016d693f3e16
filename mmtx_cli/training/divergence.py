"""Detection of harmful steps: non-finite losses or gradients, and loss spikes."""

import math
from collections.abc import Sequence

from mmtx_cli.errors import MAX_SHOWN, DivergenceError

MEMORY = 0.98
"""Decay of the running mean of the loss; spikes are detected after ``WARM`` steps."""
WARM = 20


class DivergenceGuard:
    """Checks every optimizer step before it is applied."""

    def __init__(self, allowed: int, spike: float | None) -> None:
        """Skip up to ``allowed`` bad steps; a loss over ``spike`` times its running mean is bad."""
        self.allowed, self.spike = allowed, spike
        self.skipped = 0
        self.seen, self.mean = 0, 0.0

    def fault(self, loss: float, norm: float) -> str | None:
        """Return why a step is bad, or None; the loss of a good step updates the running mean."""
        if not math.isfinite(loss):
            return f"loss is {loss}"
        if not math.isfinite(norm):
            return f"gradient is not finite (loss {loss:.4g})"
        if self.spike and self.seen >= WARM and loss > self.spike * self.mean:
            return f"loss spiked from about {self.mean:.4g} to {loss:.4g}"
        self.seen += 1
        weight = max(1 / self.seen, 1 - MEMORY)
        self.mean += weight * (loss - self.mean)
        return None

    def skip(self, fault: str, step: int, ids: Sequence[str]) -> str:
        """Count a bad step and return a message that describes it.

        Raises:
            DivergenceError: if more steps than allowed were skipped.
        """
        self.skipped += 1
        named = ", ".join(ids[:MAX_SHOWN]) + (f", … ({len(ids)})" if len(ids) > MAX_SHOWN else "")
        message = f"step {step}: {fault}; samples {named}"
        if self.skipped > self.allowed:
            raise DivergenceError(
                f"{message}: step not applied; lower optimizer.lr, check these samples, or allow "
                f"such steps to be skipped: trainer.max_skipped_steps={max(10, 2 * self.allowed)}"
            )
        return f"{message}: skipped ({self.skipped} of at most {self.allowed})"

    def state_dict(self) -> dict[str, float]:
        """Return the state for a checkpoint."""
        return {"skipped": self.skipped, "seen": self.seen, "mean": self.mean}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restore the state from a checkpoint."""
        self.skipped, self.seen = int(state["skipped"]), int(state["seen"])
        self.mean = state["mean"]
