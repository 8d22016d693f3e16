"""``trainer.monitor`` is a metric that is logged, and its best value is kept."""

from types import SimpleNamespace

import pytest

from mmtx_cli.errors import ConfigError
from mmtx_cli.training.run import check_monitor
from tests.messages import raises

HEADS = {"label": SimpleNamespace(metrics=("accuracy",)), "own": SimpleNamespace(metrics=("mine",))}


def check(monitor, mode):
    check_monitor(SimpleNamespace(monitor=monitor, monitor_mode=mode), HEADS)


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val/loss", "min"),
        ("val/label/loss", "min"),
        ("val/label/accuracy", "max"),
        ("val/own/mine", "min"),
        ("val/own/mine", "max"),
    ],
)
def test_the_best_value_is_kept(monitor, mode):
    check(monitor, mode)


@pytest.mark.parametrize(
    ("monitor", "mode", "parts"),
    [
        ("val/loss", "max", ["trainer.monitor_mode: max ", "val/loss", "trainer.monitor_mode=min"]),
        ("val/label/accuracy", "min", ["trainer.monitor_mode: min ", "trainer.monitor_mode=max"]),
        ("val/label/acuracy", "max", ["trainer.monitor: ", "'val/label/accuracy'"]),
    ],
)
def test_other_settings_are_rejected(monitor, mode, parts):
    with raises(ConfigError, *parts):
        check(monitor, mode)
