"""Samples that could not be read, written down after every batch."""

from typing import Any

from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.types import Batch


class QuarantineCallback(pl.Callback):
    """Writes down what could not be read."""

    def __init__(self, quarantine: Quarantine) -> None:
        self.quarantine = quarantine

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        """After each batch, of training or of validation."""
        if batch.faults:
            self.quarantine.add(batch.faults)
            self.quarantine.check()

    on_validation_batch_end = on_train_batch_end  # type: ignore[assignment]
