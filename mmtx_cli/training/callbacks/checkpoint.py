"""What is kept of a run while it goes: the last state, the best one, and the state at a signal."""

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
    """Writes ``last.ckpt`` at each validation and every ``save_every`` steps, ``best.ckpt`` when
    the monitored value is the best so far or equals it, and stops between two steps after a
    signal.

    A run that ended between a step and the validation due after it is validated when it resumes.
    """

    def __init__(self, folder: Path, settings: TrainerSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.best: float | None = None
        self.due = False  # a validation, after the step that was just made
        self.stop = StopSignal(self.at_once)
        self.asked: tuple[torch.Tensor, Any] | None = None
        self.begun = time.perf_counter()
        self.earlier = 0.0  # seconds of the parts of the run before this one

    @property
    def seconds(self) -> float:
        """How long the run has taken, in all its parts up to their last saves."""
        return self.earlier + time.perf_counter() - self.begun

    @property
    def last_path(self) -> Path:
        """The newest state of the run."""
        return self.folder / "last.ckpt"

    @property
    def best_path(self) -> Path:
        """The state that was best in validation."""
        return self.folder / "best.ckpt"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over, and validate if the run that is resumed could not."""
        self.stop.__enter__()
        if self.due:  # as Lightning's loop does it
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True

    def at_once(self, number: int) -> Interrupted:
        """What a second signal raises: the last save is not waited for."""
        saved = self.last_path.exists()
        last = f"the last save is {self.last_path}" if saved else "nothing was saved"
        run_dir = self.folder.parent if saved else None
        return Interrupted(number, f"stopped at once by a second signal {number}; {last}", run_dir)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Save when it is due, and stop when it was asked for."""
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate():
            return  # between two optimizer steps there is a gradient that no checkpoint holds
        step, every = trainer.global_step, self.settings.save_every
        number = self.asked_to_stop(trainer)
        finished = loop._num_ready_batches_reached()
        fetcher = trainer.fit_loop._data_fetcher
        self.due = fetcher is not None and loop._should_check_val_fx(fetcher)
        if number is not None or finished or (every and step % every == 0):
            trainer.save_checkpoint(self.last_path, weights_only=False)
        if number is not None and not finished:
            said = f"stopped by signal {number}; saved {self.last_path}"
            raise Interrupted(number, said, self.folder.parent)

    def asked_to_stop(self, trainer: pl.Trainer) -> int | None:
        """The signal that any process got; all of them stop after the same step.

        Several processes ask each other after each step and read the answer after the next one:
        waiting for it at once would hold up a GPU that still computes.
        """
        if world_size() == 1:
            return self.stop.number
        number = self.answer()
        asked = torch.tensor(self.stop.number or 0, device=trainer.strategy.root_device)
        self.asked = asked, dist.all_reduce(asked, op=dist.ReduceOp.MAX, async_op=True)
        return number

    def answer(self) -> int | None:
        """What the processes said after the step before this one."""
        if self.asked is None:
            return None
        (number, work), self.asked = self.asked, None
        work.wait()
        return int(number) or None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the state, and keep it as the best if it is."""
        self.due = False
        value = trainer.callback_metrics.get(self.settings.monitor)
        if value is None and trainer.is_global_zero:  # only the first process logs
            known = ", ".join(sorted(trainer.callback_metrics))
            raise ConfigError(
                f"trainer.monitor: {self.settings.monitor!r} is not measured; there are: {known}"
            )
        better = value is not None and self.improves(float(value))
        if better:
            assert value is not None
            self.best = float(value)
            trainer.save_checkpoint(self.best_path, weights_only=False)
        trainer.save_checkpoint(self.last_path, weights_only=False)

    def improves(self, value: float) -> bool:
        """Is it at least as good as the best so far? NaN never is.

        Of equal values the latest is kept: it has learned the most.
        """
        if self.best is None:
            return value == value
        return value <= self.best if self.settings.monitor_mode == "min" else value >= self.best

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back; a question that is open is not waited for."""
        self.asked = None
        self.stop.__exit__()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best, "due": self.due, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from it."""
        self.best, self.due = state_dict["best"], state_dict["due"]
        self.earlier = state_dict.get("seconds", 0.0)  # older versions did not keep them
