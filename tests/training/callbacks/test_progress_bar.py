"""What a log file says while a run trains."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from mmtx_cli.distributed.lightning import pl
from mmtx_cli.training.callbacks.metrics_csv import MetricsCallback
from mmtx_cli.training.callbacks.progress_bar import ProgressCallback, figures_text

MODULE = Mock(spec=pl.LightningModule)


def trainer(made):
    progress = SimpleNamespace(current=SimpleNamespace(ready=made))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    return Mock(spec=pl.Trainer, is_global_zero=True, num_training_batches=100, fit_loop=loop)


def callback(**latest):
    metrics = Mock(spec=MetricsCallback)
    metrics.latest = latest
    return ProgressCallback(metrics, "finetune")


def test_a_line_shows_the_progress(capsys, monkeypatch):
    monkeypatch.setattr("mmtx_cli.io.progress.FIRST_SECONDS", 0.0)
    shown = callback(loss=1.5, items_per_second=20.0)
    shown.on_train_start(trainer(10), MODULE)
    shown.on_train_batch_end(trainer(11), MODULE, None, None, 10)
    line = capsys.readouterr().err
    assert line.startswith("finetune 11/100, 0:00:0")
    assert line.endswith(" · loss 1.500 · 20 samples/s\n")


@pytest.mark.parametrize(
    ("speed", "text"),
    [(1234.4, "1234"), (10.4, "10"), (9.97, "10"), (3.14, "3.1"), (0.2816, "0.28"), (0.0, "0")],
)
def test_slow_training_is_not_zero(speed, text):
    assert figures_text({"items_per_second": speed}) == f"{text} samples/s"


def test_a_short_run_prints_nothing(capsys):
    shown = callback()
    shown.on_train_start(trainer(0), MODULE)
    for i in range(100):
        shown.on_train_batch_end(trainer(i), MODULE, None, None, i)
    assert capsys.readouterr().err == ""
