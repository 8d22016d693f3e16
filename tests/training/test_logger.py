from unittest.mock import Mock

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmtx_cli.config.schema import LoggerSettings, WandbSettings
from mmtx_cli.training.logger import StepWandbLogger, former_id, make_loggers


def written(run_dir, resumed, steps):
    """Log the steps of one part of a run; its value tells the part."""
    (logger,) = make_loggers(LoggerSettings(tensorboard=True), run_dir, resumed)
    for step in steps:
        logger.log_metrics({"loss": step + resumed / 100}, step=step)
    logger.finalize("success")


def test_tensorboard_shows_every_step_of_a_resumed_run_once(tmp_path):
    written(tmp_path, 0, range(1, 9))
    written(tmp_path, 4, range(5, 11))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = [(event.step, round(event.value, 2)) for event in events.Scalars("loss")]
    assert found == [(s, s) for s in range(1, 5)] + [(s, s + 0.04) for s in range(5, 11)]


def test_a_new_run_in_the_folder_of_one_that_saved_nothing(tmp_path):
    written(tmp_path, 0, range(1, 5))
    written(tmp_path, 0, range(1, 3))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2]


def test_wandb_goes_on_under_the_same_id(tmp_path):
    settings = LoggerSettings(wandb=WandbSettings(offline=True))
    for name in ("offline-run-20260102_000000-older", "run-20260103_101010-abc_1", "run-x", "logs"):
        (tmp_path / "wandb" / name).mkdir(parents=True)
    assert former_id(tmp_path) == "abc_1"
    ids = [make_loggers(settings, tmp_path, resumed)[0]._wandb_init["id"] for resumed in (0, 5)]
    assert ids == [None, "abc_1"]


@pytest.mark.parametrize("name", ["run-20260103_101010-../../x", "run-20260103_101010-", "run-1-a"])
def test_an_id_that_is_none(name, tmp_path):
    (tmp_path / "wandb" / name).mkdir(parents=True)
    assert former_id(tmp_path) is None


def test_wandb_gets_the_step_of_the_run():
    """W&B takes each step once: those that a resumed run repeats are not logged twice."""
    logger = StepWandbLogger(experiment=(run := Mock()))
    logger.log_metrics({"loss": 1.0}, step=7)
    run.log.assert_called_once_with({"loss": 1.0, "trainer/global_step": 7}, step=7)
