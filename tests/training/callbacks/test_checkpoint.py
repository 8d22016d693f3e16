"""Which state of a run is kept as its best."""

from unittest.mock import Mock

import pytest
import torch

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.training.callbacks.checkpoint import SaveCallback


@pytest.mark.parametrize(
    ("mode", "values", "kept"),
    [
        ("min", [0.5, 0.5, 0.5], 2),
        ("min", [0.5, 0.25, 0.375, 0.25, 0.3], 3),
        ("max", [0.0, 0.0], 1),
        ("max", [0.5, 1.0, 1.0, 0.75], 2),
        ("max", [1.0, float("nan"), 1.0, float("nan")], 2),
        ("min", [0.5, 0.25, 0.75], 1),
    ],
)
def test_of_equal_values_the_latest_is_kept(tmp_path, mode, values, kept):
    save = SaveCallback(tmp_path, TrainerSettings(monitor_mode=mode))
    best = []
    for i, value in enumerate(values):
        trainer = Mock(spec=pl.Trainer, callback_metrics={"val/loss": torch.tensor(value)})
        save.on_validation_end(trainer, Mock(spec=pl.LightningModule))
        written = [call.args[0].name for call in trainer.save_checkpoint.call_args_list]
        assert written[-1] == "last.ckpt"
        best += [i] * ("best.ckpt" in written)
    assert best[-1] == kept
    assert save.best == values[kept]
