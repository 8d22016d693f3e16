"""Assemble module, data and callbacks, and train with Lightning."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtx_cli.config.schema import LoggerSettings, TrainerSettings
from mmtx_cli.data.lost_worker import reporting_lost_worker
from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.launch import check_accelerator, warn_of_emulation
from mmtx_cli.distributed.launcher import LIGHTNING_ERRORS, end_together
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.distributed.slurm import environments
from mmtx_cli.distributed.strategy import FSDP2
from mmtx_cli.errors import ConfigError
from mmtx_cli.training.activation_checkpointing import recompute_blocks
from mmtx_cli.training.callbacks.caption_alarm import CaptionAlarm
from mmtx_cli.training.callbacks.checkpoint import SaveCallback
from mmtx_cli.training.callbacks.metrics_csv import MetricsCallback
from mmtx_cli.training.callbacks.progress_bar import ProgressCallback
from mmtx_cli.training.callbacks.quarantine import QuarantineCallback
from mmtx_cli.training.checkpoint_io import SafeCheckpointIO
from mmtx_cli.training.compilation import compile_model
from mmtx_cli.training.datamodule import TrainingData
from mmtx_cli.training.logger import make_loggers
from mmtx_cli.training.module import TrainingModule
from mmtx_cli.training.sharding.strategy import ShardedStrategy


@dataclass(frozen=True)
class RunLength:
    """Length of a run in micro-batches and optimizer steps."""

    batches: int
    steps: int

    @classmethod
    def of(
        cls,
        settings: TrainerSettings,
        batches_an_epoch: int,
        batches: Callable[[int], int] | None = None,
    ) -> "RunLength":
        """Return the length given by ``max_steps`` or by ``max_epochs``, in whole steps.

        ``batches`` returns those of the first n epochs, if their number differs between epochs.
        """
        if settings.max_steps is not None:
            steps = settings.max_steps
        elif settings.max_epochs is not None:
            epochs = settings.max_epochs
            total = batches(epochs) if batches else epochs * batches_an_epoch
            steps = math.ceil(total / settings.accumulate_grad_batches)
        else:
            raise ConfigError("trainer.max_epochs: set this or trainer.max_steps")
        if steps < 1:
            raise ConfigError("trainer: the run has no steps; increase max_epochs or max_steps")
        return cls(steps * settings.accumulate_grad_batches, steps)


def make_trainer(
    settings: TrainerSettings,
    loggers: LoggerSettings,
    run_dir: Path,
    length: RunLength,
    batches_an_epoch: int,
    quarantine: Quarantine,
    label: str,
    resumed: int = 0,
) -> tuple[pl.Trainer, SaveCallback]:
    """Return Lightning's trainer, set up for one single long "epoch", and its checkpoint callback.

    Data epochs are handled by the data order. A resumed run is thus always mid-epoch, and loaders
    are not rebuilt between data epochs.

    Args:
        settings: Trainer settings.
        loggers: Logger settings.
        run_dir: Run folder.
        length: Run length.
        batches_an_epoch: Micro-batches per data epoch.
        quarantine: Record of unreadable samples.
        label: Label of the progress bar.
        resumed: Step that the run is resumed from; 0 for a new run.

    Raises:
        ConfigError: if Lightning rejects the settings.
    """
    silence_lightning()
    check_accelerator(settings.accelerator)
    metrics = MetricsCallback(run_dir / "metrics.csv", settings.log_every, batches_an_epoch)
    writer = SafeCheckpointIO(settings.keep_checkpoints)
    save = SaveCallback(run_dir / "checkpoints", settings, writer)
    callbacks = [CaptionAlarm(length.steps), metrics, QuarantineCallback(quarantine)]
    callbacks += optional_callbacks(settings)
    if settings.progress:
        callbacks.append(ProgressCallback(metrics, label))
    first, last = profilers(settings, run_dir, length)
    try:
        trainer = pl.Trainer(
            **lightning_arguments(settings, length, batches_an_epoch),
            callbacks=[*first, *callbacks, save, *last],
            plugins=[writer, *environments()],
            logger=make_loggers(loggers, run_dir, resumed) or False,
            default_root_dir=run_dir,
        )
    except LIGHTNING_ERRORS as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    if trainer.is_global_zero:
        warn_of_emulation(settings.precision, trainer.strategy.root_device)
    end_together(trainer.strategy, settings)
    return trainer, save


def lightning_arguments(
    settings: TrainerSettings, length: RunLength, batches_an_epoch: int
) -> dict[str, Any]:
    """Return the arguments of Lightning's trainer that follow from the settings.

    Lightning's own data epochs, progress bar and samplers are switched off.
    """
    interval = settings.val_every or max(1, batches_an_epoch // settings.accumulate_grad_batches)
    return {
        "accelerator": settings.accelerator,
        "devices": settings.devices,
        "num_nodes": settings.num_nodes,
        "strategy": ShardedStrategy() if settings.strategy == FSDP2 else settings.strategy,
        "precision": settings.precision,
        "max_epochs": 1,
        "accumulate_grad_batches": settings.accumulate_grad_batches,
        "gradient_clip_val": settings.gradient_clip_val,
        "check_val_every_n_epoch": None,
        "val_check_interval": min(interval * settings.accumulate_grad_batches, length.batches),
        "num_sanity_val_steps": 0,
        "enable_checkpointing": True,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "deterministic": settings.deterministic or None,
    }


def optional_callbacks(settings: TrainerSettings) -> Iterator[pl.Callback]:
    """Yield the callbacks for weight averaging (EMA) and early stopping, where configured."""
    if settings.ema is not None:
        yield pl.callbacks.EMAWeightAveraging(decay=settings.ema, use_buffers=False)
    if settings.early_stopping is not None:
        yield pl.callbacks.EarlyStopping(
            settings.monitor,
            mode=settings.monitor_mode,
            patience=settings.early_stopping.patience,
            min_delta=settings.early_stopping.min_delta,
        )


def profilers(
    settings: TrainerSettings, run_dir: Path, length: RunLength
) -> tuple[list[pl.Callback], list[pl.Callback]]:
    """Return the callbacks of the profiler: before all others, and after them."""
    if settings.profile_steps is None:
        return [], []
    from mmtx_cli.training.callbacks.profiler import AfterStep, ProfilerCallback

    profiler = ProfilerCallback(run_dir / "profile", settings.profile_steps, length.steps)
    return [profiler], [AfterStep(profiler)]


def silence_lightning() -> None:
    """Silence Lightning's advertisements and its warnings that do not apply here."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for pattern in (
        r".*ended before the epoch ended and your dataloader is.*",  # ours resumes where it ended
        r".*does not have many workers.*",
        r".*Total length of `list` across ranks is zero.*",  # no validation rows
        r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
        r".*It is recommended to use `self.log.*sync_dist.*",  # already summed over processes
        r".*GPU available but not used.*",
        r".*is smaller than the logging interval.*",  # about Lightning's own logging, not ours
        r".*Checkpoint directory .* exists and is not empty.*",
        r".*WeightAveraging callback with a model that overrides the configure_model.*",
        r"FSDP2-wrapped module .* returned a view tensor.*",  # nothing changes outputs in place
        r"Found \d+ module\(s\) in eval mode.*",  # frozen modules stay in eval mode on purpose
    ):
        warnings.filterwarnings("ignore", pattern)


def fit(
    trainer: pl.Trainer,
    module: TrainingModule,
    data: TrainingData,
    length: RunLength,
    settings: TrainerSettings,
    resume: Path | None,
) -> None:
    """Train from the beginning, or from a checkpoint.

    Args:
        trainer: Lightning's trainer.
        module: Module to train.
        data: Its data.
        length: Run length.
        settings: Trainer settings.
        resume: Checkpoint to resume from.
    """
    data.total = length.batches
    module.model.encode_batch = settings.encoder_micro_batch
    if settings.activation_checkpointing:
        recompute_blocks(module.model)
    if settings.compile:
        compile_model(module.model, settings.compile)
    try:
        with reporting_lost_worker():  # Lightning's teardown may fail and mask the error
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except RuntimeError:  # lost connection to a process that may have stopped at unreadable files
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, QuarantineCallback):
                callback.quarantine.check()
        raise
