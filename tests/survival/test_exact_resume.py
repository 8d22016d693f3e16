"""A run that is resumed ends as one that was never interrupted: weights, optimizer, metrics."""

import json
import shutil
from pathlib import Path

import pytest

from mmtx_cli.cli import main
from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.survival.lab import RUN, difference, outcome, resumed

STEPS = 40
KEPT = ("trainer.keep_every=1", "trainer.save_every=1")
FEATURES = {
    "plain": [],
    "two loader workers": ["data.num_workers=2"],
    "weight averaging": ["trainer.ema=0.9"],
    "accumulation": ["trainer.accumulate_grad_batches=2"],
    "both": ["trainer.ema=0.9", "trainer.accumulate_grad_batches=2", "trainer.log_every=7"],
    "bfloat16": ["trainer.precision=bf16-mixed"],
    "float16": ["trainer.precision=16-mixed"],
    "early stopping": ["trainer.early_stopping.patience=1", "trainer.val_every=4"],
    "dropped modalities": ["data.modality_dropout=0.5", "trainer.max_skipped_steps=2"],
    "length buckets": ["data.length_bucketing=true", "data.captions_per_sample=2"],
    "warm restarts": ["optimizer.cycles=3", "optimizer.layer_decay=0.7"],
}


def ended_after(step: int, whole: Path, run: Path) -> Path:
    """The folder of a run that was killed after a step; the metrics and the best may be newer."""
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "metrics.csv"):
        shutil.copy(whole / name, run / name)
    kept = whole / "checkpoints"
    shutil.copy(kept / f"step-{step}.ckpt", run / "checkpoints" / "last.ckpt")
    if (kept / "best.ckpt").exists():
        shutil.copy(kept / "best.ckpt", run / "checkpoints" / "best.ckpt")
    return run


def check(args: list[str], steps: list[int], folder: Path) -> None:
    """Resume a run after each of the ``steps``."""
    whole = folder / "whole"
    assert main([*RUN, *args, *KEPT, f"run_dir={whole}"]) == 0
    expected = outcome(whole)
    for step in steps:
        if (whole / "checkpoints" / f"step-{step}.ckpt").exists():  # early stopping
            run = ended_after(step, whole, folder / str(step))
            resumed(run)
            assert difference(expected, outcome(run)) is None, f"resumed after step {step}"
            shutil.rmtree(run)


def test_after_a_step(survival_data, tmp_path):
    check([f"data.path={survival_data}", "trainer.max_steps=12"], [10], tmp_path)


@pytest.mark.slow
def test_after_every_step(survival_data, tmp_path):
    args = [f"data.path={survival_data}", f"trainer.max_steps={STEPS}"]
    check(args, [*range(1, STEPS)], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("feature", FEATURES)
def test_with_every_feature(feature, survival_data, tmp_path):
    args = [f"data.path={survival_data}", "trainer.max_steps=24", *FEATURES[feature]]
    check(args, [1, 8, 17], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["corpora", "samples"])
def test_a_mixture(mode, survival_data, tmp_path):
    other = make_scenes(tmp_path / "other", num=40, size=32, seed=1, workers=1)
    corpora = ((survival_data, "a", 1.0), (other, "b", 2.0))
    mixture = ", ".join(f"{{name: {n}, path: '{p}', weight: {w}}}" for p, n, w in corpora)
    args = [f"data.mixture=[{mixture}]", f"data.mixture_mode={mode}", "trainer.max_steps=24"]
    args.append("data.path=null")  # the experiment has one
    check(args, [1, 8, 17], tmp_path)


def test_a_later_best_is_taken_over(survival_data, tmp_path):
    """A run that ended between its two saves: the value and the file are of the same weights."""
    args = [f"data.path={survival_data}", "trainer.max_steps=12", "trainer.val_every=4", *KEPT]
    whole = tmp_path / "whole"
    assert main([*RUN, *args, f"run_dir={whole}"]) == 0
    best = json.loads((whole / "result.json").read_text())["metrics"]
    run = ended_after(11, whole, tmp_path / "run")
    # this run ends before it would find its best again
    assert main(["pretrain", "resume=true", f"run_dir={run}", "trainer.val_every=1000"]) == 0
    assert json.loads((run / "result.json").read_text())["metrics"].keys() == best.keys()
    assert difference(outcome(whole)["model"], outcome(run)["model"]) is None
