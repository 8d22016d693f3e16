"""Figures of a batch that does not fit, from two smaller ones: all grow linearly with its size."""

from typing import Any


def extrapolated(tried: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """Return the figures of a batch of ``size`` samples from those of one or two smaller ones.

    With a single smaller one, everything but weights and their gradients and states is taken to be
    proportional to the size.
    """
    large = tried[0]
    small = tried[1] if len(tried) > 1 else None
    before = small["batch_size"] if small else 0

    def line(a: float, b: float) -> float:
        """Return the value at ``size`` of the line through both measurements."""
        slope = (a - b) / (large["batch_size"] - before)
        return max(0.0, a + slope * (size - large["batch_size"]))

    fixed = sum(large["parts"].values())
    peak = large["peak"]["bytes"] or 0
    other = (small["peak"]["bytes"] or 0) if small else fixed
    step = {
        name: line(value, small["step"][name] if small else 0.0)
        for name, value in large["step"].items()
    }
    loader = large["loader"]
    if loader is not None:
        loader = line(loader, small["loader"] if small else 0.0)
    ratio = large["batch_size"] / size
    return large | {
        "batch_size": size,
        "peak": large["peak"] | {"bytes": int(line(peak, other))},
        "activations": int(line(large["activations"], small["activations"] if small else 0)),
        "step": step,
        "loader": loader,
        "steps": steps_at(large, ratio),
        "epoch_batches": max(1, round(large["epoch_batches"] * ratio)),
    }


def steps_at(figures: dict[str, Any], ratio: float) -> int:
    """Return the steps of the run: fewer with larger batches, if epochs are counted."""
    steps: int = figures["steps"]
    return steps if figures["counts_steps"] else max(1, round(steps * ratio))
