"""Training with fsdp2: what DDP and one process learn, and checkpoints that all of them read."""

import csv
import json
import shutil
from itertools import cycle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.io.checkpoint import load_checkpoint
from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import PRETRAINING, error_message, mmtx, succeeded
from tests.messages import mentions
from tests.world import trained, world

pytestmark = pytest.mark.xdist_group("devices")

STEPS = [
    "trainer.val_every=4",
    "trainer.log_every=1",
    "decoder.dropout=0",
    # Adam would make a full step of the sign of a gradient that is nothing but rounding
    "optimizer.eps=1",
    "trainer.activation_checkpointing=true",
    "trainer.accumulate_grad_batches=2",
]
FSDP2, DDP, AUTO = (f"trainer.strategy={name}" for name in ("fsdp2", "ddp", "auto"))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("sharded") / "scenes", num=50, size=32)


@pytest.fixture(scope="module")
def runs(manifest, tmp_path_factory) -> dict[str, Path]:
    """Four steps of two processes, by strategy."""
    folder = tmp_path_factory.mktemp("sharded_runs")
    common = ["pretrain", *PRETRAINING, *STEPS, f"data.path={manifest}", "trainer.max_steps=4"]
    return {
        name: trained(2, *common, f"trainer.strategy={name}", f"run_dir={folder / name}")
        for name in ("ddp", "fsdp2")
    }


def losses(run: Path) -> list[float]:
    rows = csv.DictReader((run / "metrics.csv").read_text().splitlines())
    return [float(v) for row in rows for k, v in row.items() if k.endswith("loss") and v]


def agree(one: Path, other: Path, slack: float = 1e-5) -> None:
    """The runs have the same losses and trained the same weights."""
    assert losses(one) == pytest.approx(losses(other), rel=slack, abs=slack)
    a, b = (load_file(run / "model" / "model.safetensors") for run in (one, other))
    assert a.keys() == b.keys()
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], atol=slack, rtol=slack, msg=name)


def same_weights(one: Path, other: Path) -> None:
    """At the end: they were validated at different steps, so their best ones differ."""
    a, b = (load_checkpoint(run / "checkpoints" / "last.ckpt") for run in (one, other))
    assert a["global_step"] == b["global_step"]
    assert a["state_dict"].keys() == b["state_dict"].keys()
    for name, value in a["state_dict"].items():
        torch.testing.assert_close(
            value, b["state_dict"][name], atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def resumed(run: Path, to: Path, size: int, strategy: str, steps: int = 8) -> Path:
    """A copy of a run after more steps, of ``size`` processes."""
    shutil.copytree(run, to)
    args = [f"run_dir={to}", "resume=true", f"trainer.max_steps={steps}", strategy]
    return trained(size, "pretrain", *args, *([] if size > 1 else ["trainer.devices=1"]))


def test_fsdp2_trains_what_ddp_trains(runs):
    agree(runs["fsdp2"], runs["ddp"])
    last = runs["fsdp2"] / "checkpoints" / "last.ckpt"
    names = {path.name for path in last.iterdir()}
    assert {"meta.pt", "checksums.json"} < names
    assert len([name for name in names if name.endswith(".safetensors")]) == 2
    assert not [p for p in last.parent.iterdir() if p.name.startswith(".")]
    assert load_checkpoint(last)["global_step"] == 4


def test_a_sharded_run_is_resumed_by_one_process(runs, tmp_path):
    one = resumed(runs["fsdp2"], tmp_path / "one", 1, AUTO)
    assert (one / "checkpoints" / "last.ckpt").is_file()
    wanted = resumed(runs["ddp"], tmp_path / "wanted", 1, AUTO)
    agree(one, wanted)


@pytest.mark.slow
def test_any_strategy_resumes_any_other(runs, tmp_path):
    wanted = resumed(runs["ddp"], tmp_path / "wanted", 1, AUTO)
    for i, (name, size, strategy) in enumerate(
        [("ddp", 2, FSDP2), ("fsdp2", 2, DDP), ("fsdp2", 2, FSDP2), ("fsdp2", 1, FSDP2)]
    ):
        agree(resumed(runs[name], tmp_path / str(i), size, strategy), wanted)


@pytest.mark.slow
def test_a_fixed_global_batch_on_one_two_four_and_one_processes(manifest, tmp_path):
    constant = ["optimizer.warmup=0", "optimizer.min_lr=1"]
    common = ["pretrain", *PRETRAINING, *STEPS[1:4], *constant, f"data.path={manifest}"]
    wanted = trained(1, *common, "trainer.max_steps=8", f"run_dir={tmp_path / 'wanted'}")
    run = tmp_path / "run"
    trained(1, *common, "trainer.max_steps=2", f"run_dir={run}")
    for size, strategy, steps in ((2, FSDP2, 4), (4, FSDP2, 6), (1, AUTO, 8)):
        args = [f"run_dir={run}", "resume=true", strategy, f"trainer.max_steps={steps}"]
        trained(size, "pretrain", *args, *(["trainer.devices=1"] if size == 1 else []))
    same_weights(run, wanted)


@pytest.mark.slow
def test_resuming_at_every_step_with_another_number_of_processes(manifest, tmp_path):
    constant = ["optimizer.warmup=0", "optimizer.min_lr=1", "trainer.val_every=40"]
    common = ["pretrain", *PRETRAINING, *STEPS[1:4], *constant, f"data.path={manifest}"]
    wanted = trained(1, *common, "trainer.max_steps=40", f"run_dir={tmp_path / 'wanted'}")
    run = tmp_path / "run"
    trained(2, *common, FSDP2, "trainer.max_steps=1", f"run_dir={run}")
    ways = cycle([(1, AUTO), (2, DDP), (2, FSDP2)])
    for steps, (size, strategy) in zip(range(2, 41), ways, strict=False):
        args = [f"run_dir={run}", "resume=true", strategy, f"trainer.max_steps={steps}"]
        trained(size, "pretrain", *args, *(["trainer.devices=1"] if size == 1 else []))
    same_weights(run, wanted)


@pytest.mark.slow
def test_a_sharded_checkpoint_is_a_model_for_every_command(runs, manifest, tmp_path):
    last = runs["fsdp2"] / "checkpoints" / "last.ckpt"
    weights = {k.removeprefix("model."): v for k, v in load_checkpoint(last)["state_dict"].items()}
    out = tmp_path / "exported"
    assert mmtx("export", f"ckpt={last}", f"out={out}").returncode == 0
    exported = load_file(out / "model.safetensors")
    assert exported.keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in exported.items())
    for name, size in (("one", 1), ("two", 2)):
        args = ["eval", f"ckpt={last}", FSDP2, "bootstrap=2", "trainer.accelerator=cpu"]
        trained(size, *args, f"run_dir={tmp_path / name}")
    one, two = (json.loads((tmp_path / n / "result.json").read_text()) for n in ("one", "two"))
    assert one["metrics"] == pytest.approx(two["metrics"], abs=1e-6)
    picture = next((manifest.parent / "images").glob("*.jpg"))
    succeeded(mmtx("caption", f"ckpt={last}", f"inputs=[{picture}]", f"run_dir={tmp_path / 'c'}"))
    args = [f"data.path={manifest}", f"ckpt={last}", "trainer.max_steps=1", "data.num_workers=0"]
    succeeded(mmtx("finetune", *args, "trainer.accelerator=cpu", f"run_dir={tmp_path / 'f'}"))


def test_a_damaged_shard_is_named(runs, tmp_path):
    copy = tmp_path / "last.ckpt"
    shutil.copytree(runs["fsdp2"] / "checkpoints" / "last.ckpt", copy)
    shard = max(copy.glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes(content)
    err = error_message(mmtx("export", f"ckpt={copy}", f"out={tmp_path / 'out'}"))
    mentions(err, f"{copy}: damaged: {shard.name} ", "checksum")
    shard.unlink()
    err = error_message(mmtx("export", f"ckpt={copy}", f"out={tmp_path / 'out'}"))
    mentions(err, f"{shard.name} is missing")


def test_processes_that_read_different_rows_stop_at_the_start(manifest, tmp_path):
    lines = manifest.read_text().splitlines(keepends=True)
    train = next(i for i, line in enumerate(lines) if '"train"' in line)
    (manifest.parent / "fewer.jsonl").write_text("".join(lines[:train] + lines[train + 1 :]))
    run = tmp_path / "run"
    common = ["pretrain", *PRETRAINING, DDP, f"run_dir={run}", "trainer.max_steps=1"]
    places = [tmp_path / "0", tmp_path / "1"]
    for place, name in zip(places, (manifest.name, "fewer.jsonl"), strict=True):
        place.mkdir()
        (place / "here.jsonl").write_text((manifest.parent / name).read_text())
    root = f"data.root={manifest.parent}"
    for done in world(2, *common, "data.path=here.jsonl", root, each_cwd=places):
        err = error_message(done)
        mentions(err, "data.path: rank 1 ", "train rows (39 instead of 40)", "same files")


def test_settings_that_fsdp2_lacks_are_refused(manifest, tmp_path):
    args = ["pretrain", *PRETRAINING, f"data.path={manifest}", f"run_dir={tmp_path / 'run'}"]
    wrong = ["trainer.ema=0.9", "trainer.compile=true", "trainer.precision=16-mixed"]
    err = error_message(mmtx(*args, FSDP2, *wrong))
    for key in ("trainer.ema", "trainer.compile", "trainer.precision=16-mixed"):
        mentions(err, f"{key}: not supported with trainer.strategy=fsdp2")
    err = error_message(mmtx(*args, "trainer.strategy=fsdp"))
    mentions(err, "trainer.strategy=fsdp: not supported", "trainer.strategy=fsdp2")
