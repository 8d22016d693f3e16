"""Record a few steps with torch.profiler: a trace for Perfetto and a summary of a page."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from mmtx_cli.distributed.lightning import pl
from mmtx_cli.io.atomic import make_subfolder
from mmtx_cli.runs.profile import peak_memory
from mmtx_cli.training.callbacks.profile_summary import Profile, Spent, markdown, print_profile

WARM_UP = 5
"""Steps before the first that is recorded: they set up kernels, caches and workers."""
PHASES = ("waiting for data", "forward", "backward", "optimizer", "logging and saving")
TOP = 10


class ProfilerCallback(pl.Callback):
    """Records steps after a warm-up; every process writes a trace of its own.

    The names of modules are in the trace while the steps are recorded, and only then.
    """

    def __init__(self, folder: Path, steps: int, of_run: int) -> None:
        """Record in the first of ``steps`` steps after the warm-up of a run of ``of_run`` steps."""
        self.folder, self.steps = folder, min(steps, of_run)
        self.first = max(0, min(WARM_UP, of_run - self.steps))
        self.done = 0
        self.profiler: profile | None = None
        self.handles: list[Any] = []
        self.open: list[record_function] = []
        self.spent = dict.fromkeys(PHASES, 0.0)
        self.mark: tuple[str, float] | None = None
        self.batches = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin, if there is no warm-up."""
        if self.first == 0:
            self.begin(pl_module)

    def begin(self, module: pl.LightningModule) -> None:
        """Start to record."""
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
            torch.cuda.reset_peak_memory_stats()
        self.profiler = profile(
            activities=activities,
        )
        with native_log_hidden():
            self.profiler.start()
        for name, child in module.named_modules():
            if name:
                self.handles += [
                    child.register_forward_pre_hook(named(self.open, name)),
                    child.register_forward_hook(ended(self.open), always_call=True),
                ]
        self.enter(PHASES[0])

    def enter(self, phase: str | None) -> None:
        """End a phase and begin the next one; on a GPU, its work is waited for."""
        if self.profiler is None:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.mark is not None:
            self.spent[self.mark[0]] += now - self.mark[1]
        self.mark = None if phase is None else (phase, now)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The model has its data."""
        self.enter("forward")

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: torch.Tensor
    ) -> None:
        """The loss is known."""
        self.enter("backward")

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The gradients are known."""
        self.enter("optimizer")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Begin, go on or end after a step; what other callbacks do comes next."""
        if self.profiler is not None:
            self.batches += 1
            self.enter("logging and saving")
        if trainer.fit_loop.epoch_loop._should_accumulate():
            return
        self.done += 1
        if self.profiler is None and self.done == self.first:
            self.begin(pl_module)
        elif self.profiler is not None and self.done == self.first + self.steps:
            self.end(trainer)

    def waits(self) -> None:
        """The step is over: the next batch is awaited. Called by the last callback."""
        self.enter(PHASES[0])

    def end(self, trainer: pl.Trainer) -> None:
        """Stop, and write the trace and the summary."""
        profiler = self.profiler
        assert profiler is not None
        self.enter(None)
        with native_log_hidden():
            profiler.stop()
        self.profiler = None
        for handle in self.handles:
            handle.remove()
        self.handles, self.open = [], []
        folder = make_subfolder(self.folder)
        rank = trainer.global_rank
        trace = folder / ("trace.json.gz" if trainer.world_size == 1 else f"trace-{rank}.json.gz")
        profiler.export_chrome_trace(str(trace))
        found = self.summary(profiler)
        name = "summary.md" if trainer.world_size == 1 else f"summary-{rank}.md"
        (folder / name).write_text(markdown(found, trace.name), encoding="utf-8")
        if trainer.is_global_zero:
            print_profile(found, trace)

    def summary(self, profiler: profile) -> Profile:
        """Return what the time was spent on."""
        averages = profiler.key_averages()
        gpu = torch.cuda.is_available()

        def own(event: Any) -> float:
            spent = event.self_device_time_total if gpu else event.self_cpu_time_total
            return float(spent) / 1e6

        def whole(event: Any) -> float:
            return float(event.device_time_total if gpu else event.cpu_time_total) / 1e6

        modules = [e for e in averages if e.key.startswith(PREFIX)]
        operators = [e for e in averages if e.key.startswith("aten::")]
        return Profile(
            self.steps,
            self.spent,
            [Spent(e.key, e.count, own(e)) for e in top(operators, own)],
            [Spent(e.key[len(PREFIX) :], e.count, whole(e)) for e in top(modules, whole)],
            peak_memory(),
        )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write what was recorded of a run that ends earlier."""
        if self.profiler is not None and self.batches:
            self.steps = max(1, self.done - self.first)
            self.end(trainer)


class AfterStep(pl.Callback):
    """The last callback: from here on, the next batch is awaited."""

    def __init__(self, profiler: ProfilerCallback) -> None:
        self.profiler = profiler

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Tell the profiler."""
        self.profiler.waits()


PREFIX = "module "


@contextmanager
def native_log_hidden() -> Iterator[None]:
    """Hide what the profiler's library itself writes to standard error, such as missing GPUs."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def named(open_records: list[record_function], name: str) -> Any:
    """Return a hook that begins a record with the name of a module."""

    def hook(module: torch.nn.Module, args: Any) -> None:
        record = record_function(f"{PREFIX}{name}")
        record.__enter__()
        open_records.append(record)

    return hook


def ended(open_records: list[record_function]) -> Any:
    """Return a hook that ends the record of a module."""

    def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
        if open_records:
            open_records.pop().__exit__(None, None, None)

    return hook


def top(events: list[Any], seconds: Any) -> list[Any]:
    """Return the events that took the most seconds."""
    return sorted(events, key=seconds, reverse=True)[:TOP]
