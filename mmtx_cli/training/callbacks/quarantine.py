"""Callback that records unreadable samples after every batch."""

from typing import Any

from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.types import Batch


class QuarantineCallback(pl.Callback):
    """Adds unreadable samples to the quarantine."""

    def __init__(self, quarantine: Quarantine) -> None:
        self.quarantine = quarantine

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        """Record the unreadable samples of a training or validation batch.

        Raises:
            DataError: if there are more than allowed.
        """
        if batch.read_errors:
            self.quarantine.add(batch.read_errors)
            self.quarantine.check()

    on_validation_batch_end = on_train_batch_end  # type: ignore[assignment]
