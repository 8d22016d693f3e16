"""The alarm for captions that are the same for all inputs, in whole trainings."""

import csv
import json
import shutil

import pytest

from mmtx_cli.io.quoting import quoted
from mmtx_cli.synthetic.scenes import make_scenes
from tests.command_line import mmtx, succeeded
from tests.messages import mentions

TRAINING = (
    "finetune",
    "experiment=scenes_caption",
    "image_size=32",
    "dim=64",
    "encoder.image.width=64",
    "encoder.image.patch_size=8",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "data.batch_size=32",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = make_scenes(tmp_path_factory.mktemp("scenes"), num=400, size=32, seed=0, workers=1)
    return f"data.path={quoted(str(path))}"


def trained(folder, data, *args):
    done = mmtx(*TRAINING, data, *args, cwd=folder)
    run = succeeded(done)
    with open(run / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/captioning/distinct")]
    return run, done.stderr, [float(row["val/captioning/distinct"]) for row in rows]


def test_a_model_that_does_not_see_is_reported(tmp_path):
    """All pictures are the same."""
    path = make_scenes(tmp_path / "scenes", num=100, size=32, seed=0, workers=1)
    first, *others = sorted((tmp_path / "scenes" / "images").iterdir())
    for picture in others:
        shutil.copy(first, picture)
    lengths = ["trainer.max_steps=40", "trainer.val_every=20", "run_dir=blind"]
    run, message, distinct = trained(tmp_path, f"data.path={quoted(str(path))}", *lengths)
    assert distinct == [0.1, 0.1], "one caption for ten samples"
    mentions(message, "warning: step 40: head.captioning: ", "get the same caption")
    (*_, warning) = json.loads((run / "result.json").read_text())["warnings"]
    mentions(warning, "step 40: head.captioning: ", "ignores its input")
    page = (run / "report.html").read_text()
    mentions(page, 'role="alert"', "step 40: head.captioning: ")


@pytest.mark.slow
def test_a_collapse_rings_at_the_next_validation_and_sound_runs_do_not(tmp_path, data):
    lengths = ["trainer.max_steps=240", "trainer.val_every=120"]
    for seed in range(10):
        run, message, distinct = trained(
            tmp_path, data, *lengths, f"seed={seed}", f"run_dir=s{seed}"
        )
        assert distinct[-1] > 0.5
        assert "same caption" not in message
        assert "warnings" not in json.loads((run / "result.json").read_text())
    # trained further with a learning rate at which it forgets its input
    high = ["ckpt=s0", "optimizer.lr=1.0", "trainer.gradient_clip_val=null", "run_dir=high"]
    more = ["trainer.max_steps=60", "trainer.val_every=10", "optimizer.warmup=0"]
    _, message, distinct = trained(tmp_path, data, *high, *more)
    assert distinct[0] < 0.5
    mentions(message, "head.captioning: ")
