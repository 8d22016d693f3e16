"""What is kept of a run while it goes: the last state, the best one, and the state at a signal."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from mmtx_cli.error import ConfigError, Interrupted
from mmtx_cli.layer.distributed import world_size
from mmtx_cli.settings import TrainerSettings
from mmtx_cli.training.lightning import pl

SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    if hasattr(signal, name)
]
"""What ends a run after its step: Ctrl-C, a scheduler, a terminal that closes."""


class SaveCallback(pl.callbacks.Checkpoint):
    """Writes ``last.ckpt`` at each validation and every ``save_every`` steps, ``best.ckpt`` when
    the monitored value is the best so far or equals it, and stops between two steps after one of
    ``SIGNALS``.
    """

    def __init__(self, folder: Path, settings: TrainerSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.best: float | None = None
        self.signal: int | None = None
        self.handlers: dict[int, Any] = {}
        self.asked: tuple[torch.Tensor, Any] | None = None

    @property
    def last_path(self) -> Path:
        """The newest state of the run."""
        return self.folder / "last.ckpt"

    @property
    def best_path(self) -> Path:
        """The state that was best in validation."""
        return self.folder / "best.ckpt"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over; a second one ends the process at once."""
        for number in SIGNALS:
            self.handlers[number] = signal.signal(number, self.note)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal until the step is done."""
        if self.signal is not None:
            raise Interrupted(number, self.last_path, at_once=True)
        self.signal = number

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
        if number is not None or finished or (every and step % every == 0):
            trainer.save_checkpoint(self.last_path, weights_only=False)
        if number is not None and not finished:
            raise Interrupted(number, self.last_path)

    def asked_to_stop(self, trainer: pl.Trainer) -> int | None:
        """The signal that any process got; all of them stop after the same step.

        Several processes ask each other after each step and read the answer after the next one:
        waiting for it at once would hold up a GPU that still computes.
        """
        if world_size() == 1:
            return self.signal
        number = self.answer()
        asked = torch.tensor(self.signal or 0, device=trainer.strategy.root_device)
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
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from it."""
        self.best = state_dict["best"]
