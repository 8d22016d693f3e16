"""The levers of speed and memory work with each other, and leave checkpoints as they are."""

import csv
import math
from itertools import product

import pytest
import torch

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import CONTRASTIVE, mmtx, succeeded

COMMON = (
    "pretrain",
    *CONTRASTIVE,
    "encoder.image.depth=2",
    "data.text=captions",
    "trainer.progress=false",
    "trainer.log_every=1",
    "trainer.max_steps=3",
)
LEVERS = {
    "checkpointing": ["trainer.activation_checkpointing=true"],
    "accumulated": ["trainer.accumulate_grad_batches=2", "data.batch_size=4"],
    "average": ["trainer.ema=0.9"],
    "micro-batches": ["trainer.encoder_micro_batch=4"],
    "loader": ["data.num_workers=1", "data.persistent_workers=true", "data.prefetch_factor=2",
               "data.prefetch=1", "trainer.val_every=1"],
    "budget": ["data.token_budget=128"],
}  # fmt: skip
ALL = [arg for args in LEVERS.values() for arg in args]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("speed") / "scenes", num=40, size=32)


def trained(manifest, run, *args):
    """The losses of the steps, and the names and shapes of the checkpoint's tensors."""
    succeeded(mmtx(*COMMON, *args, f"data.path={manifest}", f"run_dir={run}"))
    with open(run / "metrics.csv") as file:
        losses = [float(r["train/loss"]) for r in csv.DictReader(file) if r["train/loss"]]
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return losses, {name: x.shape for name, x in last["state_dict"].items()}


def check(found, wanted, tolerance):
    (losses, shapes), (plain, expected) = found, wanted
    assert shapes == expected
    assert len(losses) == 3
    assert all(math.isfinite(x) for x in losses)
    if tolerance:
        assert losses == pytest.approx(plain, rel=tolerance)


@pytest.fixture(scope="module")
def plain(manifest, tmp_path_factory):
    return trained(manifest, tmp_path_factory.mktemp("speed_plain") / "run")


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.quick_cases(1)
def test_all_levers_together_in_half_precision(manifest, plain, tmp_path, precision):
    # other batches than the plain run's: only that it trains and its checkpoint is the same
    found = trained(manifest, tmp_path / "run", f"trainer.precision={precision}", *ALL)
    check(found, plain, None)


def test_recomputing_and_reading_ahead_change_no_loss(manifest, plain, tmp_path):
    args = [*LEVERS["checkpointing"], *LEVERS["average"], *LEVERS["loader"]]
    check(trained(manifest, tmp_path / "run", *args), plain, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "compiled"), list(product(["32-true", "bf16-mixed"], ["blocks", "true"]))
)
def test_compiled(manifest, plain, tmp_path, precision, compiled):
    args = [f"trainer.compile={compiled}", f"trainer.precision={precision}"]
    args += [*LEVERS["checkpointing"], *LEVERS["average"]]
    check(trained(manifest, tmp_path / "run", *args), plain, 0.02 if "bf16" in precision else 1e-4)
