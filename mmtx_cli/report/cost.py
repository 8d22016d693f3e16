"""Format the cost of a run: duration, parameters, FLOPs, memory."""

from collections.abc import Mapping
from typing import Any

from mmtx_cli.report.rounding import amount, duration, is_number


def costs(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the names and formatted values of the costs in a ``result.json``, in display order."""
    cost = result.get("cost")
    cost = cost if isinstance(cost, Mapping) else {}
    total, trained, pretrained, flops = (
        _positive(cost.get(name))
        for name in (
            *("parameters", "trained_parameters", "pretrained_parameters"),
            "flops_per_sample",
        )
    )
    memory = _positive(result.get("peak_memory_mb"))
    seconds = result.get("seconds")
    shares = [
        f"{amount(count)} {kind}"
        for count, kind in ((trained, "trained"), (pretrained, "pretrained"))
        if count
    ]
    parameters = amount(total) + (f" ({', '.join(shares)})" if shares else "")
    found = [
        ("duration", duration(seconds) if is_number(seconds) and 0 <= seconds < 1e12 else ""),
        ("parameters", parameters),
        ("FLOPs per sample", amount(flops)),
        ("peak memory", f"{amount(memory * 1e6)}B" if memory else ""),
    ]
    return [(name, value) for name, value in found if value]


def _positive(value: Any) -> float | None:
    return value if is_number(value) and 0 < value < 1e30 else None
