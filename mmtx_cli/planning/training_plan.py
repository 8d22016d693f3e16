"""The plan of a training run: its memory, time and disk, from measured steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import make_subfolder
from mmtx_cli.planning.extrapolate import extrapolated
from mmtx_cli.planning.folder import size_of, work_folder
from mmtx_cli.planning.request import Request, measured
from mmtx_cli.runs.run_config import TrainConfig
from mmtx_cli.runs.variant import variant

Figures = dict[str, Any]


def plan_training(run: TrainConfig, before: float) -> Figures:
    """Measure and return the plan.

    Args:
        run: The settings.
        before: Seconds that the command takes before its data are read.

    Raises:
        ConfigError: if not even a batch of one sample fits.
    """
    figures, notes = measured_or_estimated(run)
    return combined(run, figures, before, notes)


def measured_or_estimated(run: TrainConfig) -> tuple[Figures, list[str]]:
    """Return the figures of the batch size of the run, and notes on how they were found.

    If it does not fit, they are extrapolated from two smaller ones.
    """
    if run.data.token_budget is not None:
        return measured_budget(run), []
    with work_folder(run.run_dir) as folder:
        tried: list[Figures] = []
        size = run.data.batch_size
        while size >= 1:
            place = make_subfolder(folder / str(size))
            answer = measured(Request("training", variant(run, place, batch_size=size)))
            if not answer.out_of_memory:
                tried.append(answer.lines[-1])
                if size == run.data.batch_size:
                    return tried[0], []
                if len(tried) == 2:
                    break
            size //= 2
    if not tried:
        raise ConfigError(
            "plan: the model does not fit into the memory of the device, even with a single "
            "sample; use a smaller model or trainer.strategy=fsdp on several GPUs"
        )
    sizes = " and ".join(str(figures["batch_size"]) for figures in tried)
    note = (
        f"data.batch_size={run.data.batch_size} does not fit into the memory that is available: "
        f"estimated from data.batch_size={sizes}"
    )
    return extrapolated(tried, run.data.batch_size), [note]


def measured_budget(run: TrainConfig) -> Figures:
    """Return the figures of a run whose batches are filled by tokens.

    Raises:
        ConfigError: if a batch does not fit.
    """
    with work_folder(run.run_dir) as folder:
        answer = measured(Request("training", variant(run, folder)))
    if answer.out_of_memory:
        raise ConfigError(
            f"plan: a batch of data.token_budget={run.data.token_budget} tokens does not fit into "
            "the memory of the device; set a smaller one"
        )
    return answer.lines[-1]


def combined(run: TrainConfig, figures: Figures, before: float, notes: list[str]) -> Figures:
    """Return the plan that follows from measured figures.

    Args:
        run: The settings.
        figures: What was measured on one device.
        before: Seconds that the command takes before its data are read.
        notes: What the user should know about them.
    """
    memory = memory_of(run.trainer, figures, notes)
    times = times_of(run.trainer, figures, before)
    counts, budget = figures["components"], run.data.token_budget
    # last.ckpt and those before it, and best.ckpt of a validation
    saves = run.trainer.keep_checkpoints + bool(figures["validation"])
    saves += figures["steps"] // (run.trainer.keep_every or figures["steps"] + 1)
    disk = {
        "checkpoints": saves * figures["checkpoint_bytes"],
        "model": figures["model_bytes"],
    }
    if run.data.cache:
        disk["feature cache, which is read"] = size_of(Path(run.data.cache))
    return {
        "command": run.command,
        "device": figures["device"],
        "devices": figures["world"],
        **({"token_budget": budget} if budget else {"batch_size": run.data.batch_size}),
        "train_samples": figures["train_samples"],
        "val_samples": figures["val_samples"],
        "parameters": {
            "total": sum(part["parameters"] for part in counts.values()),
            "trained": sum(part["trained"] for part in counts.values()),
            "components": counts,
        },
        "memory_bytes": memory,
        "memory_available_bytes": figures["peak"]["total"],
        **times,
        "disk_bytes": disk | {"total": sum(disk.values())},
        "notes": notes,
    }


def memory_of(trainer: TrainerSettings, figures: Figures, notes: list[str]) -> dict[str, int]:
    """Return the bytes of one device by what they are for, and their peak.

    Of several devices, the shares of weights and the buffers of gradients are computed.

    Args:
        trainer: The settings of the trainer.
        figures: What was measured on one device.
        notes: Receives what is not measured.
    """
    parts = {name: value for name, value in figures["parts"].items() if value}
    parts["activations"] = figures["activations"]
    peak, world = figures["peak"]["bytes"] or 0, figures["world"]
    parts["other"] = max(0, peak - sum(parts.values()))
    if world > 1 and "fsdp" in trainer.strategy:
        for name in ("weights", "gradients", "optimizer"):
            parts[name] = -(-parts.get(name, 0) // world)
        largest = max(part["parameters"] for part in figures["components"].values())
        parts["gathered weights"] = 4 * largest
    elif world > 1:
        parts["gradients of other devices"] = parts.get("gradients", 0)
    if world > 1:
        notes.append(
            f"measured on one device with its share of the batch, a {world}th; memory for the "
            "communication of the devices is computed, its time is not included"
        )
    return parts | {"peak": sum(parts.values())}


def times_of(trainer: TrainerSettings, figures: Figures, before: float) -> Figures:
    """Return the seconds of a step, an epoch, and the whole run by what they are spent on.

    Args:
        trainer: The settings of the trainer.
        figures: What was measured on one device.
        before: Seconds that the command takes before its data are read.
    """
    parts, steps = figures["accumulate"], figures["steps"]
    batch, waiting = seconds_of_batch(figures["step"], figures["loader"])
    step = batch * parts
    epoch_steps = max(1, figures["epoch_batches"] // parts)
    interval = min(trainer.val_every or epoch_steps, steps)
    validations = steps // interval if figures["validation"] else 0
    saves = 1 + 2 * validations + (steps // trainer.save_every if trainer.save_every else 0)
    first = figures["first_seconds"]
    set_up = max(0.0, sum(first[:parts]) - sum(first[parts : 2 * parts]))
    each = {
        "start": before + figures["built_seconds"] + figures["loader_start"] + set_up,
        "training": steps * step,
        "validation": validations * validation_seconds(figures["validation"]),
        "saving": saves * figures["save_seconds"],
        "end": figures["finish_seconds"],
    }
    return {
        "steps": steps,
        "steps_per_epoch": epoch_steps,
        "seconds_per_step": step,
        "seconds_per_epoch": step * epoch_steps,
        "waiting_for_data": waiting,
        "seconds": each | {"total": sum(each.values())},
    }


def seconds_of_batch(timed: Mapping[str, float], loader: float | None) -> tuple[float, float]:
    """Return the seconds of a batch, and the share of them in which the model waits for data.

    With workers, loading and computing overlap: the slower one decides. If both compete for the
    same cores, the lasting pace shows it.

    Args:
        timed: Seconds of a batch: ``busy``, ``wait`` and ``lasting``.
        loader: Seconds that the workers need for a batch; None without workers.
    """
    if loader is None:
        total = timed["busy"] + timed["wait"]
    else:
        total = max(timed["busy"], loader, timed["lasting"])
    return total, max(0.0, 1 - timed["busy"] / total) if total else 0.0


def validation_seconds(figures: Mapping[str, float] | None) -> float:
    """Return the seconds of one validation; the first batch comes when its workers have started."""
    if figures is None:
        return 0.0
    each = max(figures["batch_lasting"], figures["batch_busy"])
    return figures["start"] + figures["batches"] * each
