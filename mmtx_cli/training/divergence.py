"""Steps that would harm: a loss or gradient that is no number, or a loss that leaps."""

import math
from collections.abc import Sequence

from mmtx_cli.errors import DivergenceError

MEMORY = 0.98
"""Of the running mean that a leap is measured by; it begins to count after ``WARM`` steps."""
WARM = 20
_NAMED = 20


class Guard:
    """Looks at every step before it is made."""

    def __init__(self, allowed: int, spike: float | None) -> None:
        """``allowed`` bad steps are left out; a loss ``spike`` times the running mean is one."""
        self.allowed, self.spike = allowed, spike
        self.skipped = 0
        self.seen, self.mean = 0, 0.0

    def fault(self, loss: float, norm: float) -> str | None:
        """What is wrong with a step, or None; of a sound one the loss is remembered."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(norm):
            return f"the gradient is not finite (loss {loss:.4g})"
        if self.spike and self.seen >= WARM and loss > self.spike * self.mean:
            return f"the loss leaps from about {self.mean:.4g} to {loss:.4g}"
        self.seen += 1
        weight = max(1 / self.seen, 1 - MEMORY)
        self.mean += weight * (loss - self.mean)
        return None

    def skip(self, fault: str, step: int, ids: Sequence[str]) -> str:
        """Count a bad step and say of it what there is to say.

        Raises:
            DivergenceError: if there were too many.
        """
        self.skipped += 1
        named = ", ".join(ids[:_NAMED]) + (f", … ({len(ids)})" if len(ids) > _NAMED else "")
        said = f"step {step}: {fault}; samples {named}"
        if self.skipped > self.allowed:
            raise DivergenceError(
                f"{said}. The step is not made. Lower optimizer.lr, look at these samples, or let "
                f"such steps be left out: trainer.bad_steps={max(10, 2 * self.allowed)}"
            )
        return f"{said}: left out ({self.skipped} of at most {self.allowed})"

    def state_dict(self) -> dict[str, float]:
        """What a resumed run must know."""
        return {"skipped": self.skipped, "seen": self.seen, "mean": self.mean}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self.skipped, self.seen = int(state["skipped"]), int(state["seen"])
        self.mean = state["mean"]
