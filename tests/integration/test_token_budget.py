"""Batches filled by tokens and images of any aspect ratio, as a user trains with them."""

import csv
import json
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mmtx_cli.cli import main
from tests.command_line import CONTRASTIVE, mmtx, refused, stopped, succeeded
from tests.data.shards.fixtures import pack
from tests.messages import mentions

NAFLEX = (
    "encoder/image=naflex_vit",
    "encoder.image.width=16",
    "encoder.image.depth=1",
    "encoder.image.num_heads=2",
    "encoder.image.patch_size=8",
    "data.resize_mode=naflex",
    "data.max_patches=24",
)
PAIRS = (
    *(arg for arg in CONTRASTIVE if not arg.startswith("encoder.image.p") and "=vit" not in arg),
    *NAFLEX,
    "data.text=captions",
    "trainer.progress=false",
    "trainer.log_every=1",
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Pictures of many sizes with captions of many lengths; one picture is damaged."""
    folder = tmp_path_factory.mktemp("any_size")
    random, rows = np.random.default_rng(0), []
    for i in range(44):
        height, width = random.integers(4, 90, 2)
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        words = random.choice(["red", "dog", "sits", "here"], random.integers(1, 9))
        split = "train" if i < 36 else "val"
        rows.append({"id": f"s{i}", "image": f"{i}.png", "captions": [" ".join(words)]})
        rows[-1] |= {"split": split, "label": f"l{i % 3}"}
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder / "rows.jsonl"


def losses(run):
    with open(run / "metrics.csv") as file:
        rows = [
            {k: v for k, v in r.items() if k.startswith("train/")} for r in csv.DictReader(file)
        ]
    return [{k: float(v) for k, v in row.items() if v} for row in rows if any(row.values())]


def test_trains_whole_epochs_and_predicts(manifest, tmp_path):
    run = tmp_path / "run"
    args = [arg for arg in PAIRS if not arg.startswith(("data.batch_size", "trainer.max_steps"))]
    budget = ["data.token_budget=200", "data.prefetch=2", "data.eval_batch_size=4"]
    command = ["pretrain", *args, *budget, f"data.path={manifest}", "trainer.max_epochs=2"]
    assert main([*command, f"run_dir={run}"]) == 0
    steps = json.loads((run / "result.json").read_text())["steps"]
    assert len(losses(run)) == steps
    # at least 10 patches and tokens a sample: 36 samples do not fit into four batches an epoch
    assert steps > 8
    found = tmp_path / "eval"
    assert main(["eval", f"ckpt={run}", f"run_dir={found}", "split=val"]) == 0
    assert json.loads((found / "result.json").read_text())["count"] == 8


@pytest.mark.slow
def test_two_processes_learn_what_one_does(manifest, tmp_path):
    args = [*PAIRS, "data.token_budget=400", "data.batch_multiple=2", f"data.path={manifest}"]
    args += ["trainer.max_steps=6", "optimizer.lr=1e-6"]
    two = ["trainer.devices=2", "trainer.strategy=ddp", "data.num_workers=1"]
    for name, extra in (("one", []), ("two", two)):
        succeeded(mmtx("pretrain", *args, *extra, f"run_dir={tmp_path / name}"))
    one, both = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(both) == 6
    for a, b in zip(one, both, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


@pytest.mark.slow
def test_a_stopped_run_ends_as_one_never_stopped(manifest, tmp_path):
    args = ["pretrain", *PAIRS, "data.token_budget=200", f"data.path={manifest}"]
    args += ["trainer.max_steps=40", "data.num_workers=1", "data.prefetch=2"]
    whole = succeeded(mmtx(*args, f"run_dir={tmp_path / 'whole'}"))
    broken = tmp_path / "broken"
    done = stopped(
        [*args, f"run_dir={broken}"],
        None,
        signal.SIGINT,
        lambda: (broken / "metrics.csv").exists() and len(losses(broken)) >= 11,
    )
    assert done.returncode == 130, done.stderr
    assert 11 <= len(losses(broken)) < 40, "the run was to be stopped in the middle"
    more = ["resume=true", f"run_dir={broken}", "data.num_workers=0", "data.prefetch=0"]
    succeeded(mmtx("pretrain", *more))
    a, b = (load_file(run / "model" / "model.safetensors") for run in (whole, broken))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert losses(whole) == losses(broken)


@pytest.mark.slow
def test_images_in_shards_and_a_table_give_the_same_run_which_can_be_planned(manifest, tmp_path):
    args = [arg for arg in PAIRS if not arg.startswith(("data.batch_size", "trainer.max_steps"))]
    common = ["pretrain", *args, "data.token_budget=200", "trainer.max_epochs=2"]
    shards = pack(manifest, tmp_path / "shards", shard_size=0.03, shuffle=False)
    table = {"MMTX_TABLE_ROWS": "1", "MMTX_MANIFEST_CACHE": str(tmp_path / "cache")}
    one = succeeded(mmtx(*common, f"data.path={manifest}", f"run_dir={tmp_path / 'files'}"))
    two = succeeded(mmtx(*common, f"data.path={shards}", f"run_dir={tmp_path / 'two'}", **table))
    a, b = (load_file(run / "model" / "model.safetensors") for run in (one, two))
    assert all(torch.equal(a[name], b[name]) for name in a)
    place = f"run_dir={tmp_path / 'plan'}"
    succeeded(mmtx(*common, f"data.path={shards}", "plan=true", place, **table))
    plan = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert plan["token_budget"] == 200
    assert "batch_size" not in plan


FAULTS = {
    "too small": (["data.token_budget=20"], ["data.token_budget: 20 ", "s", "tokens", "at least"]),
    "no sequences": (
        ["head=classification", "encoder.text=null", "data.text=null", "encoder/image=vit",
         "data.resize_mode=crop", "encoder.image.width=16", "data.token_budget=100"],
        ["data.token_budget: ", "data.batch_size"],
    ),
    "several captions": (
        ["data.token_budget=400", "data.captions_per_sample=2"],
        ["data.token_budget: ", "data.captions_per_sample"],
    ),
    "shards": (["data.token_budget=400", "data.order=shards"], ["data.order=shards", "length"]),
    "too few samples": (
        ["data.token_budget=90000", "data.batch_multiple=64"],
        ["data.batch_multiple: 64 ", "only 36"],
    ),
    "automatic": (
        ["data.token_budget=400", "data.batch_size=auto"],
        ["data.batch_size=auto: ", "data.token_budget"],
    ),
    "multiple alone": (["data.batch_multiple=2"], ["data.batch_multiple: ", "data.token_budget"]),
    "squares": (["data.resize_mode=pad"], ["encoder.image: ", "data.resize_mode=naflex"]),
    "another encoder": (
        ["encoder/image=cnn", "encoder.image.patch_size=null"],
        ["encoder.image", "encoder/image=naflex_vit"],
    ),
    "crops": (["data.augment.scale=[0.5,1.0]"], ["data.augment.scale: ", "aspect ratio"]),
    "compile": (["trainer.compile=block"], ["trainer.compile: 'block' ", "blocks"]),
    "pinned": (["data.pin_memory=true"], ["data.pin_memory: ", "trainer.accelerator=cpu"]),
    "prefetch": (
        ["data.prefetch=1", "data.pin_memory=false"], ["data.prefetch: ", "data.pin_memory=false"]
    ),
    "workers": (["data.persistent_workers=true"], ["data.persistent_workers: ", "num_workers=0"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_refused(name, manifest, tmp_path):
    extra, parts = FAULTS[name]
    args = [*PAIRS, f"data.path={manifest}", *extra, f"run_dir={tmp_path / 'run'}"]
    mentions(refused("pretrain", *args), *parts)
    assert not (tmp_path / "run").exists()
