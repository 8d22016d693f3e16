"""Checkpoints during training: last and best state, and a final save after a stop signal."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.distributed.collectives import from_first, rank, world_size
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.distributed.signals import StopSignal
from mmtx_cli.errors import ConfigError, Interrupted
from mmtx_cli.io.checkpoint_files.keep import copy_checkpoint, step_name
from mmtx_cli.io.file_errors import writing
from mmtx_cli.runs.fallback import later_best
from mmtx_cli.training.checkpoint_io import SafeCheckpointIO


class SaveCallback(pl.callbacks.Checkpoint):
    """Saves the last and the best state, and stops between two steps after a signal.

    ``last.ckpt`` is written at each validation and every ``save_every`` steps, ``best.ckpt`` when
    the monitored metric is at least as good as the best so far. The checkpoint of every
    ``keep_every`` steps is kept as ``step-N.ckpt``. A run that was stopped when a validation was
    due is validated when it resumes.

    A save that finds no space on the disk is reported, and the run goes on; the last save of a run
    or before a signal ends it must succeed.
    """

    def __init__(
        self, folder: Path, settings: TrainerSettings, writer: SafeCheckpointIO | None = None
    ) -> None:
        """Save to ``folder`` with ``writer``, if Lightning's strategy uses it."""
        self.folder = folder
        self.settings = settings
        self.writer = writer
        self.best: float | None = None
        self.validation_due = False  # validation is due after the last step
        self.stop = StopSignal(self.immediate_stop)
        self.pending_signal: tuple[torch.Tensor, Any] | None = None
        self.begun = time.perf_counter()
        self.earlier = 0.0  # seconds of the run before it was last resumed

    @property
    def seconds(self) -> float:
        """Total training time in seconds; a stopped run counts up to its last save."""
        return self.earlier + time.perf_counter() - self.begun

    @property
    def last_path(self) -> Path:
        """Path of the latest checkpoint."""
        return self.folder / "last.ckpt"

    @property
    def best_path(self) -> Path:
        """Path of the checkpoint with the best validation metric."""
        return self.folder / "best.ckpt"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the signal handlers; run a validation that was due when the run was stopped."""
        self.stop.__enter__()
        self.adopt_later_best(trainer.global_step)
        if self.validation_due:  # as Lightning's training loop does
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True

    def immediate_stop(self, number: int) -> Interrupted:
        """Return the exception that a second signal raises, without waiting for the last save."""
        saved = self.last_path.exists()
        last = f"last checkpoint: {self.last_path}" if saved else "no checkpoint was saved"
        run_dir = self.folder.parent if saved else None
        return Interrupted(
            number, f"stopped immediately by second signal {number}; {last}", run_dir
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Save if a save is due, and stop after a signal."""
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate():
            return  # checkpoints do not store accumulated gradients
        step = trainer.global_step
        number = self.stop_requested(trainer)
        finished = loop._num_ready_batches_reached()
        fetcher = trainer.fit_loop._data_fetcher
        self.validation_due = fetcher is not None and loop._should_check_val_fx(fetcher)
        intervals = (self.settings.save_every, self.settings.keep_every)
        must = number is not None or finished
        if must or any(interval and step % interval == 0 for interval in intervals):
            self.save_last(trainer, must)
        if number is not None and not finished:
            message = f"stopped by signal {number}; saved {self.last_path}"
            raise Interrupted(number, message, self.folder.parent)

    def save(self, trainer: pl.Trainer, path: Path, must: bool) -> bool:
        """Save a checkpoint; return False if it found no space, unless it ``must`` be saved."""
        if self.writer is not None:
            self.writer.optional = not must
        trainer.save_checkpoint(path, weights_only=False)
        return not from_first(self.writer is not None and self.writer.failed)

    def save_last(self, trainer: pl.Trainer, must: bool = False) -> None:
        """Write ``last.ckpt``, and keep it if its step is one to keep."""
        if not self.save(trainer, self.last_path, must):
            return
        step, interval = trainer.global_step, self.settings.keep_every
        if interval and step % interval == 0 and trainer.is_global_zero:
            kept = self.folder / step_name(step)
            with writing(kept):
                copy_checkpoint(self.last_path, kept)

    def adopt_later_best(self, step: int) -> None:
        """Take over the value of a ``best.ckpt`` that was saved after ``step``.

        The run ended before it could save ``last.ckpt``, too: the value that this has is not that
        of the file.
        """
        states = later_best(self.best_path, step) if step and rank() == 0 else None
        own = (states or {}).get(self.state_key)
        value = own.get("best") if isinstance(own, Mapping) else None
        self.best = from_first(value if isinstance(value, float) else self.best)

    def stop_requested(self, trainer: pl.Trainer) -> int | None:
        """Return the signal that any process received, so that all stop after the same step.

        With several processes, the all-reduce of a step is read after the next step: waiting for it
        right away would stall the GPU.
        """
        if world_size() == 1:
            return self.stop.number
        number = self.answer()
        signal_number = torch.tensor(self.stop.number or 0, device=trainer.strategy.root_device)
        self.pending_signal = (
            signal_number,
            dist.all_reduce(signal_number, op=dist.ReduceOp.MAX, async_op=True),
        )
        return number

    def answer(self) -> int | None:
        """Return the signal reduced after the previous step, or None."""
        if self.pending_signal is None:
            return None
        (number, work), self.pending_signal = self.pending_signal, None
        work.wait()
        return int(number) or None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write ``last.ckpt``, and ``best.ckpt`` if the metric is the best so far.

        Raises:
            ConfigError: if the monitored metric was not logged.
        """
        self.validation_due = False
        value = trainer.callback_metrics.get(self.settings.monitor)
        if value is None and trainer.is_global_zero:  # only rank 0 logs metrics
            available = ", ".join(sorted(trainer.callback_metrics))
            raise ConfigError(
                f"trainer.monitor: {self.settings.monitor!r} was not logged; available: {available}"
            )
        better = value is not None and self.improves(float(value))
        if better:
            assert value is not None
            earlier, self.best = self.best, float(value)
            if not self.save(trainer, self.best_path, False):
                self.best = earlier  # that of the file
        self.save_last(trainer)

    def improves(self, value: float) -> bool:
        """Return True if the value is at least as good as the best so far; NaN never is.

        Ties go to the later checkpoint, which is trained the longest.
        """
        if self.best is None:
            return value == value
        return value <= self.best if self.settings.monitor_mode == "min" else value >= self.best

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the signal handlers, without waiting for a pending all-reduce."""
        self.pending_signal = None
        self.stop.__exit__()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"best": self.best, "due": self.validation_due, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.best = state_dict["best"]
        self.validation_due = state_dict.get("due", False)  # older versions stored neither this
        self.earlier = state_dict.get("seconds", 0.0)  # nor this
