"""Steps of several micro-batches, and of several processes, are those of one batch."""

import csv

import pytest
import torch

from mmtx_cli.cli import main
from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import CONTRASTIVE, mmtx, succeeded

HEADS = "captioning,masked_lm,masked_image,prefix_lm,self_distillation_image"
COMMON = [
    "pretrain",
    *(arg for arg in CONTRASTIVE if not arg.startswith("max_length")),
    "encoder.image.stem=patch",
    "fusion=concat",
    "fusion.depth=1",
    "fusion.num_heads=2",
    "max_length=48",
    "data.text=captions",
    "data.tokenizer_vocab_size=300",
    "decoder.depth=1",
    "decoder.num_heads=2",
    "decoder.dropout=0",
    "head.captioning.streams=[image]",
    "trainer.max_steps=3",
    "trainer.log_every=1",
    "trainer.progress=false",
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("accumulation") / "scenes", num=60, size=32)


def losses(run):
    """Of every step and head."""
    with open(run / "metrics.csv") as file:
        rows = [
            {k: float(v) for k, v in row.items() if k.startswith("train/") and v}
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if row]  # validation has rows of its own


def gradients(run):
    """The running means of the gradients, as Adam keeps them."""
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {k: s["exp_avg"] for k, s in last["optimizer_states"][0]["state"].items()}


@pytest.mark.parametrize("parts", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_accumulated_steps_are_those_of_the_whole_batch(manifest, tmp_path, parts):
    """Texts have different lengths, so that a mean of means would be another."""
    args = [*COMMON, f"data.path={manifest}", f"head=[{HEADS}]", "optimizer.lr=1e-6"]
    for name, extra in (("whole", []), ("parts", [f"trainer.accumulate_grad_batches={parts}"])):
        size = f"data.batch_size={16 // (parts if extra else 1)}"
        assert main([*args, *extra, size, f"run_dir={tmp_path / name}"]) == 0
    whole, apart = (losses(tmp_path / name) for name in ("whole", "parts"))
    assert len(whole) == len(apart) == 3
    for a, b in zip(whole, apart, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    whole, apart = (gradients(tmp_path / name) for name in ("whole", "parts"))
    for key, wanted in whole.items():
        assert (apart[key] - wanted).norm() <= 1e-3 * wanted.norm() + 1e-7, key


@pytest.mark.slow
def test_two_processes_draw_what_one_does(manifest, tmp_path):
    """What is hidden of a sample, and which wrong partner it gets."""
    heads = f"head=[contrastive,matching,{HEADS}]"
    args = [*COMMON, f"data.path={manifest}", heads]
    two = ["trainer.devices=2", "trainer.strategy=ddp"]
    for name, extra in (("one", []), ("two", two)):
        succeeded(mmtx(*args, *extra, f"run_dir={tmp_path / name}"))
    for a, b in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert a == pytest.approx(b, rel=1e-4)
