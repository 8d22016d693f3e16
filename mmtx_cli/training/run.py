"""A training run, from its settings to the model folder, the result and the report."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.distributed.slurm import requeue
from mmtx_cli.errors import CheckpointError, ConfigError, Interrupted
from mmtx_cli.hub.origin import pretrained_count, weights_summary
from mmtx_cli.io.atomic import make_subfolder, write_json
from mmtx_cli.io.checkpoint import read_weights
from mmtx_cli.io.model_folder import save_folder
from mmtx_cli.io.redact import redacted
from mmtx_cli.io.sharded.folder import is_sharded
from mmtx_cli.metric.direction import has_direction, lower_is_better
from mmtx_cli.runs.fallback import resumed_step
from mmtx_cli.runs.run_config import TrainConfig
from mmtx_cli.runs.run_dir import check_not_trained, open_run
from mmtx_cli.suggest import suggest

if TYPE_CHECKING:
    from mmtx_cli.distributed.lightning import pl
    from mmtx_cli.training.assemble import RunData
    from mmtx_cli.training.callbacks.checkpoint import SaveCallback
    from mmtx_cli.training.datamodule import TrainingData
    from mmtx_cli.training.module import TrainingModule
    from mmtx_cli.training.trainer import RunLength


def train(run: TrainConfig) -> None:
    """Train, and write checkpoints, metrics, the model folder and the report to the run folder.

    A run that cannot start leaves no folder behind: everything is built and checked before.
    """
    check_not_trained(run.plain)
    # these import torch: only with valid settings
    from mmtx_cli.training.assemble import (
        build_module,
        build_trainer,
        load_weights,
        make_loaders,
        read_data,
    )
    from mmtx_cli.training.free_space import check_run_space, run_space

    start = time.perf_counter()
    source = read_data(run)
    module = build_module(source)
    loaders, length = make_loaders(source, module)
    load_weights(source, module)
    trainer, save = build_trainer(source.run, module, loaders, length)
    save.begun = start
    if is_finished(run, length):
        return
    check_monitor(run.trainer, module.model.head)
    loaders.check_world(trainer.world_size)
    if is_first_process():
        space = run_space(module.model, run.trainer, length.steps, bool(loaders.val))
        check_run_space(space, run.run_dir)
    try:
        fit_run(source, module, loaders, length, trainer, save)
    except Interrupted as stop:
        queued = requeue(stop.number) if run.trainer.requeue and is_first_process() else ""
        if stop.run_dir is None or not queued:
            raise
        raise Interrupted(stop.number, f"{stop}; {queued}", stop.run_dir) from stop
    if is_first_process():
        finish(run, source.config, module, save)


def is_finished(run: TrainConfig, length: "RunLength") -> bool:
    """Return True if a resumed run has made all of its steps, and print its folder then."""
    if not run.resume or (made := finished_steps(run.run_dir)) < length.steps:
        return False
    print(f"the run is already finished ({made} steps)", file=sys.stderr)
    print(run.run_dir)
    return True


def finished_steps(run_dir: Path) -> int:
    """Return the steps of a finished run; 0 if it has no ``result.json``.

    Raises:
        CheckpointError: if its last checkpoint holds no step count.
    """
    if not (run_dir / "result.json").is_file():
        return 0
    return resumed_step(run_dir / "checkpoints" / "last.ckpt")


def check_monitor(settings: Any, heads: Any) -> None:
    """Raise ConfigError if ``trainer.monitor`` is not logged, or its worst value would be kept."""
    available = ["val/loss"]
    available += [
        f"val/{n}/{metric}" for n, head in heads.items() for metric in ("loss", *head.metrics)
    ]
    if settings.monitor not in available:
        raise ConfigError(
            f"trainer.monitor: unknown metric {settings.monitor!r}; "
            f"{suggest(settings.monitor, available, True)}"
        )
    best = "min" if lower_is_better(settings.monitor) else "max"
    if has_direction(settings.monitor) and settings.monitor_mode != best:
        raise ConfigError(
            f"trainer.monitor_mode: {settings.monitor_mode} keeps the worst {settings.monitor}; "
            f"set trainer.monitor_mode={best}"
        )


def announce(run_dir: Path, model: Any, train: int, val: int, length: Any) -> None:
    """Print the size of the model, the data and the run; warn if there are no validation samples.

    Args:
        run_dir: Run folder.
        model: The model.
        train: Number of training samples.
        val: Number of validation samples.
        length: Run length.
    """
    if is_first_process():
        total = sum(p.numel() for p in model.parameters())
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        print(
            f"{total / 1e6:.2f} M parameters ({trainable / 1e6:.2f} M trained), {train} "
            "training and "
            f"{val} validation samples, {length.steps} steps; run folder {run_dir}",
            flush=True,
        )
        print(weights_summary(model), flush=True)
        if not val:
            print(
                "no validation samples: best.ckpt and early stopping need them; add rows with "
                "split=val to the manifest, or set data.split",
                file=sys.stderr,
            )


def fit_run(
    source: "RunData",
    module: "TrainingModule",
    loaders: "TrainingData",
    length: "RunLength",
    trainer: "pl.Trainer",
    save: "SaveCallback",
) -> None:
    """Create the run folder, print what will be trained, and train.

    Args:
        source: Settings and data of the run.
        module: The module to train.
        loaders: Its samples.
        length: Length of the run.
        trainer: Lightning's trainer.
        save: Its checkpoint callback.
    """
    from mmtx_cli.training.trainer import fit

    run = source.run
    open_run(run.plain)
    for logger in trainer.loggers:
        logger.log_hyperparams(redacted(run.plain))
    announce(run.run_dir, module.model, len(loaders.train), len(loaders.val or ()), length)
    print_truncation(loaders.train)
    fit(trainer, module, loaders, length, run.trainer, save.last_path if run.resume else None)


def print_truncation(samples: Any) -> None:
    """Print how texts are truncated and how images, videos and audio are cropped or shortened."""
    if is_first_process():
        truncated = [
            f"{message}; increase max_length to avoid truncation"
            for message in samples.text_truncation_warnings()
        ]
        for message in (*truncated, *samples.crop_warnings(), *samples.truncation_warnings()):
            print(message, file=sys.stderr)


def caption_warnings(trainer: Any) -> list[str]:
    """Return the warnings of the captions in validation."""
    from mmtx_cli.training.callbacks.caption_alarm import CaptionAlarm

    (alarm,) = (x for x in trainer.callbacks if isinstance(x, CaptionAlarm))
    return list(alarm.warnings)


def finish(run: TrainConfig, config: dict[str, Any], module: Any, save: Any) -> None:
    """Write the model folder (with the best weights), the result and the report.

    Args:
        run: Settings of the run.
        config: Plain config, stored with the weights.
        module: The trained module.
        save: The checkpoint callback, which knows the best checkpoint and the training time.
    """
    from mmtx_cli.report.html import write_report
    from mmtx_cli.report.terminal import print_costs
    from mmtx_cli.runs.profile import parameter_counts, peak_memory

    run_dir = run.run_dir
    warnings = caption_warnings(module.trainer)
    metrics, weights = {}, None
    if save.best is not None:
        try:
            weights = read_weights(str(save.best_path))
            metrics = {run.trainer.monitor: save.best}
        except CheckpointError as error:  # the run has ended: its last weights are better than none
            warnings.append(f"the model has the weights of the last step, not the best: {error}")
            print(f"warning: {warnings[-1]}", file=sys.stderr)
    if weights is None:
        shards = is_sharded(save.last_path)  # then no process has all weights
        weights = read_weights(str(save.last_path)) if shards else module.model.state_dict()
    save_folder(make_subfolder(run_dir / "model"), config, weights)
    count = len(module.trainer.datamodule.train)
    result = {
        "command": run.command,
        "metrics": metrics,
        "count": count,
        "val_count": len(module.trainer.datamodule.val or ()),
        "steps": module.trainer.global_step,
        "seconds": round(save.seconds, 3),
        "peak_memory_mb": peak_memory(),
        "cost": parameter_counts(module.model) | pretrained_count(module.model),
    }
    if warnings:
        result["warnings"] = warnings
    write_json(run_dir / "result.json", result)
    # training writes no predictions: any in a resumed folder are untrusted and may name other files
    write_report(run_dir, gallery=0)
    print_costs(result)
    print(run_dir)
