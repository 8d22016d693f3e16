"""Write metrics to ``metrics.csv`` and the loggers, every few steps and after each validation."""

import csv
import io
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.atomic import appending, atomic_write
from mmtx_cli.io.file_errors import writing
from mmtx_cli.io.untrusted.bounded_file import read_record
from mmtx_cli.training.module import TrainingModule
from mmtx_cli.types import Batch


class MetricsFile:
    """A CSV file that gains columns as new metrics appear and continues when a run is resumed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, str]] = []
        self.columns = ["step", "epoch"]

    def resume(self, step: int, validates: bool = False) -> None:
        """Keep the existing rows up to ``step``; a new run (step 0) keeps none.

        If the run ``validates`` again at this step, the rows of that validation are dropped, too.
        """
        if step and self.path.is_file():
            self.columns, self.rows = self.written(step)
            if validates:
                self.rows = [r for r in self.rows if int(r["step"]) < step or not is_validation(r)]
        self.rewrite()

    def written(self, step: int) -> tuple[list[str], list[dict[str, str]]]:
        """Return the columns of the file, and its rows up to ``step``.

        Raises:
            CheckpointError: if it is not a valid metrics file; the run folder is not trusted.
        """
        try:
            reader = csv.DictReader(io.StringIO(read_record(self.path), newline=""), strict=True)
            rows = [row for row in reader if int(row["step"]) <= step]
            columns = list(reader.fieldnames or self.columns)
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise CheckpointError(
                f"{self.path}: not a valid metrics file ({error}); remove the file to resume "
                "without the earlier metrics"
            ) from error
        if "step" not in columns or any(None in row or None in row.values() for row in rows):
            raise CheckpointError(
                f"{self.path}: no column step, or a row whose number of cells differs from the "
                "header; remove the file to resume without the earlier metrics"
            )
        return columns, rows

    def write(self, row: dict[str, float]) -> None:
        """Append a row; a new column rewrites the file."""
        texts = {name: f"{value:.6g}" for name, value in row.items() if name != "step"}
        texts["step"] = str(int(row["step"]))
        self.rows.append(texts)
        new = [name for name in texts if name not in self.columns]
        self.columns += new
        if new or not self.path.exists():
            self.rewrite()
            return
        with writing(self.path), appending(self.path) as file:
            csv.DictWriter(file, self.columns, restval="").writerow(texts)

    def rewrite(self) -> None:
        """Write the header and all rows."""
        with (
            atomic_write(self.path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)


def is_validation(row: Mapping[str, str]) -> bool:
    """Return True for the row of a validation."""
    return any(value and name.startswith("val/") for name, value in row.items())


class MetricsCallback(pl.Callback):
    """Writes metrics; reads losses from the device only every ``interval`` steps."""

    def __init__(self, path: Path, interval: int, batches_an_epoch: int) -> None:
        self.file = MetricsFile(path)
        self.interval = interval
        self.batches_an_epoch = batches_an_epoch
        self.items = 0
        self.started = 0.0
        self.latest: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Create the metrics file, or continue it."""
        if trainer.is_global_zero:
            due = any(getattr(x, "validation_due", False) for x in trainer.checkpoint_callbacks)
            self.file.resume(trainer.global_step, due)
        self.started = time.perf_counter()

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: TrainingModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count samples; write a row if one is due."""
        self.items += len(batch) * trainer.world_size
        if trainer.global_step % self.interval or trainer.fit_loop.epoch_loop._should_accumulate():
            return
        means = pl_module.train_tally.means(everywhere=True)
        if not means:  # all steps were skipped
            return
        now = time.perf_counter()
        rate = self.items / max(now - self.started, 1e-9)
        self.items, self.started = 0, now
        self.latest = {"items_per_second": rate, "loss": means["loss"]}
        row = {f"train/{name}": value for name, value in means.items()}
        epochs = trainer.datamodule.corpus_epochs(batch_idx + 1)  # type: ignore[attr-defined]
        row |= {f"epoch/{name}": value for name, value in epochs.items()}
        if pl_module.guard.skipped:
            row["skipped_steps"] = pl_module.guard.skipped
        row |= {"lr": trainer.optimizers[0].param_groups[0]["lr"], "items_per_second": rate}
        self.write(trainer, row, batch_idx)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the validation metrics; its time does not count for ``items_per_second``."""
        row = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        if row:
            self.latest["val loss"] = row.get("val/loss", math.nan)
            self.write(trainer, row, trainer.fit_loop.epoch_loop.batch_idx)
        self.items, self.started = 0, time.perf_counter()

    def write(self, trainer: pl.Trainer, row: dict[str, float], batch_idx: int) -> None:
        """Write one row to the file and to every logger, in rank 0."""
        if not trainer.is_global_zero:
            return
        row = {"epoch": (batch_idx + 1) / self.batches_an_epoch, **row}
        self.file.write({"step": trainer.global_step, **row})
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)
