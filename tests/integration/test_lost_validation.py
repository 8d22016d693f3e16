"""A validation that a run could not make because it ended just before is made when it resumes."""

import csv
import json
import os
import signal

import pytest

from mmtx_cli.cli import main
from mmtx_cli.synthetic.scenes.make import make_scenes
from mmtx_cli.training.module import TrainingModule
from tests.command_line import TINY, TINY_IMAGE

STEPS = [
    *TINY_IMAGE,
    *TINY[:-1],
    "fusion=concat",
    "head=classification",
    "trainer.max_steps=40",
    "trainer.val_every=3",
    "trainer.progress=false",
    "optimizer.warmup=0",
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("validation") / "scenes", num=60, size=32)


class Killed(BaseException):
    """In place of SIGKILL, after which nothing is written."""


def ended(monkeypatch, method, at, end):
    """Call ``end`` at the call number ``at`` of the training module's ``method``."""
    plain, calls = getattr(TrainingModule, method), []

    def patched(self, *args):
        calls.append(args)
        if len(calls) == at:
            end()
        return plain(self, *args)

    monkeypatch.setattr(TrainingModule, method, patched)


def kill():
    raise Killed


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def validations(run):
    """(step, epoch, loss) of every validation."""
    with open(run / "metrics.csv") as file:
        return [
            (row["step"], row["epoch"], row["val/loss"])
            for row in csv.DictReader(file)
            if row["val/loss"]
        ]


@pytest.mark.parametrize(
    ("extra", "method", "at", "end", "status"),
    [
        pytest.param(
            ["trainer.early_stopping.patience=2", "optimizer.lr=0.1"],
            *("training_step", 9, terminate, 143),
            marks=pytest.mark.slow,
            id="stopped, early stopping",
        ),
        pytest.param(
            ["trainer.accumulate_grad_batches=2", "trainer.max_steps=9"],
            *("training_step", 12, terminate, 143),
            id="stopped, accumulating",
        ),
        pytest.param(
            ["trainer.save_every=1", "trainer.max_steps=12"],
            *("on_validation_epoch_end", 2, kill, None),
            marks=pytest.mark.slow,
            id="killed in a validation",
        ),
        pytest.param(
            ["trainer.max_steps=6"],
            *("on_validation_epoch_end", 2, kill, None),
            id="killed in the last validation",
        ),
    ],
)
@pytest.mark.quick_cases(1)
def test_the_validation_is_made_up(manifest, tmp_path, monkeypatch, extra, method, at, end, status):
    args = ["finetune", *STEPS, *extra, f"data.path={manifest}"]
    assert main([*args, f"run_dir={tmp_path / 'whole'}"]) == 0
    broken = f"run_dir={tmp_path / 'broken'}"
    with monkeypatch.context() as patch:
        ended(patch, method, at, end)
        if status is None:
            with pytest.raises(Killed):
                main([*args, broken])
        else:
            assert main([*args, broken]) == status
    assert len(validations(tmp_path / "broken")) < len(validations(tmp_path / "whole"))
    assert main(["finetune", "resume=true", broken]) == 0
    assert validations(tmp_path / "broken") == validations(tmp_path / "whole")
    whole, made_up = (
        json.loads((tmp_path / run / "result.json").read_text()) for run in ("whole", "broken")
    )
    assert made_up["steps"] == whole["steps"]
    assert made_up["metrics"] == whole["metrics"]
