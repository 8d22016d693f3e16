"""Checkpoints during training: last and best state, and a final save after a stop signal."""

import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.distributed.collectives import world_size
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.distributed.signals import StopSignal
from mmtx_cli.errors import ConfigError, Interrupted


class SaveCallback(pl.callbacks.Checkpoint):
    """Saves the last and the best state, and stops between two steps after a signal.

    ``last.ckpt`` is written at each validation and every ``save_every`` steps, ``best.ckpt`` when
    the monitored metric is at least as good as the best so far. A run that was stopped when a
    validation was due is validated when it resumes.
    """

    def __init__(self, folder: Path, settings: TrainerSettings) -> None:
        self.folder = folder
        self.settings = settings
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
        step, interval = trainer.global_step, self.settings.save_every
        number = self.stop_requested(trainer)
        finished = loop._num_ready_batches_reached()
        fetcher = trainer.fit_loop._data_fetcher
        self.validation_due = fetcher is not None and loop._should_check_val_fx(fetcher)
        if number is not None or finished or (interval and step % interval == 0):
            trainer.save_checkpoint(self.last_path, weights_only=False)
        if number is not None and not finished:
            message = f"stopped by signal {number}; saved {self.last_path}"
            raise Interrupted(number, message, self.folder.parent)

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
            self.best = float(value)
            trainer.save_checkpoint(self.best_path, weights_only=False)
        trainer.save_checkpoint(self.last_path, weights_only=False)

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
