"""The plan of an evaluation or a captioning run, from parts of its work."""

from collections.abc import Sequence
from typing import Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.planning.folder import work_folder
from mmtx_cli.planning.request import Request, measured
from mmtx_cli.runs.run_config import RunConfig
from mmtx_cli.runs.variant import variant

Figures = dict[str, Any]


def plan_inference(run: RunConfig, before: float, paths: Sequence[str] = ()) -> Figures:
    """Measure and return the plan.

    Args:
        run: The settings.
        before: Seconds that the command takes before its data are read.
        paths: The files to caption.

    Raises:
        ConfigError: if the batches do not fit into memory.
    """
    with work_folder(run.run_dir) as folder:
        answer = measured(Request("inference", variant(run, folder), {"paths": list(paths)}))
    if answer.out_of_memory:
        size = run.data.eval_batch_size or run.data.batch_size
        raise ConfigError(
            f"plan: batches of {size} samples do not fit into the memory that is available; "
            "set a smaller data.eval_batch_size, or data.eval_batch_size=auto"
        )
    return combined(run, answer.lines[-1], before)


def combined(run: RunConfig, figures: Figures, before: float) -> Figures:
    """Return the plan that follows from the seconds and bytes of two parts of the work.

    Args:
        run: The settings.
        figures: What was measured on one device.
        before: Seconds that the command takes before its data are read.
    """
    first, parts, world = figures["first"], figures["parts"], figures["world"]
    share = -(-figures["samples"] // world)
    constant, each = line(parts, "seconds")
    start = figures["built_seconds"] + before
    start += max(0.0, first["seconds"] - constant - each * first["samples"])
    seconds = {"start": start + constant, "samples": share * each}
    written, per_sample = line(parts, "written")
    outputs = share * parts[-1]["outputs"] // parts[-1]["samples"]
    counts = parts[-1].get("components", {})
    peak = (figures["peak"]["bytes"] or 0) - parts[-1]["outputs"]
    weights = parts[-1].get("weights", 0)
    disk = int(written + per_sample * figures["samples"])
    notes = [f"measured on {parts[-1]['samples']} of {figures['samples']} samples"]
    if getattr(run, "explain", None):
        notes.append("explain: the time for heat maps is not included")
    if world > 1:
        notes.append(f"measured on one device; each of the {world} takes its share of the samples")
    memory = {
        "weights": weights,
        "activations and other": max(0, peak - weights),
        "outputs of the samples": outputs,
    }
    return {
        "command": run.command,
        "device": figures["device"],
        "devices": world,
        "batch_size": figures["batch_size"],
        "samples": figures["samples"],
        "parameters": {
            "total": sum(part["parameters"] for part in counts.values()),
            "trained": sum(part["parameters"] for part in counts.values()),
            "components": counts,
        },
        "memory_bytes": memory | {"peak": sum(memory.values())},
        "memory_available_bytes": figures["peak"]["total"],
        "samples_per_second": 1 / each if each else None,
        "seconds": seconds | {"total": sum(seconds.values())},
        "disk_bytes": {"results": disk, "total": disk},
        "notes": notes,
    }


def line(parts: Sequence[Figures], key: str) -> tuple[float, float]:
    """Return the value of no samples, and of each further one."""
    small, large = parts[0], parts[-1]
    if large["samples"] == small["samples"]:
        return 0.0, large[key] / large["samples"]
    each = (large[key] - small[key]) / (large["samples"] - small["samples"])
    each = max(each, 0.0)
    return max(0.0, large[key] - each * large["samples"]), each
