"""Progress bar with step, losses, throughput and time left, redrawn a few times per second."""

import sys
import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmtx_cli.distributed.lightning import pl
from mmtx_cli.io.console import make_bar
from mmtx_cli.io.progress import SparseLines
from mmtx_cli.training.callbacks.metrics_csv import MetricsCallback

REDRAW_SECONDS = 0.2


class ProgressCallback(pl.Callback):
    """Shows a rich progress bar on a terminal; prints occasional lines if output is redirected."""

    def __init__(self, metrics: MetricsCallback, label: str) -> None:
        self.metrics = metrics
        self.label = label
        self.next_draw = 0.0
        self.bar: Progress | None = None
        self.lines: SparseLines | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the progress bar."""
        if not trainer.is_global_zero:
            return
        bar = make_bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            auto_refresh=False,
        )
        if not bar.disable:
            self.bar = bar
            total = int(trainer.num_training_batches)
            self.task = self.bar.add_task(self.label, total=total, figures="")
            self.bar.start()
        else:
            done = int(trainer.fit_loop.epoch_loop.batch_progress.current.ready)
            self.lines = SparseLines(int(trainer.num_training_batches), done)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Redraw the bar if ``REDRAW_SECONDS`` have passed, or print a line if one is due."""
        now = time.monotonic()
        if now < self.next_draw or not trainer.is_global_zero:
            return
        done = batch_idx + 1
        if self.bar is not None:
            self.next_draw = now + REDRAW_SECONDS
            figures = figures_text(self.metrics.latest)
            self.bar.update(self.task, completed=done, figures=figures, refresh=True)
        elif self.lines is not None and (line := self.lines.line(done)):
            figures = figures_text(self.metrics.latest)
            print(f"{self.label} {line} · {figures}", file=sys.stderr, flush=True)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stop the bar at its current position."""
        if self.bar is not None:
            self.bar.update(self.task, completed=trainer.fit_loop.epoch_loop.batch_idx + 1)
            self.bar.stop()
            self.bar = None


def figures_text(figures: dict[str, float]) -> str:
    """Return the latest metrics as a short text."""
    words = [f"{k} {v:.3f}" for k, v in figures.items() if k != "items_per_second"]
    if (speed := figures.get("items_per_second")) is not None:
        words.append(f"{speed:.0f} samples/s" if speed >= 10 else f"{speed:.2g} samples/s")
    return " · ".join(words)
