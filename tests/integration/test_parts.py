"""Encoding in parts (trainer.encoder_micro_batch) trains the same model as encoding at once."""

import csv

import pytest

from mmtx_cli.synthetic.scenes import make_scenes
from tests.command_line import CONTRASTIVE, mmtx, succeeded

LONG = ["data.batch_size=16", "data.text=captions", "trainer.max_steps=6", "trainer.log_every=1"]


def losses(run):
    rows = csv.DictReader((run / "metrics.csv").read_text().splitlines())
    return [{k: float(v) for k, v in row.items() if k.endswith("loss") and v} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["infonce", "sigmoid"])
def test_a_run_in_parts_has_the_same_losses(form, tmp_path):
    data = make_scenes(tmp_path / "scenes", num=40, size=32, seed=0, workers=1)
    args = [*CONTRASTIVE, *LONG, f"head.contrastive.loss={form}", f"data.path={data}"]
    runs = {}
    for name, extra in (("whole", []), ("parts", ["trainer.encoder_micro_batch=4"])):
        run = succeeded(mmtx("pretrain", *args, *extra, f"run_dir={name}", cwd=tmp_path))
        runs[name] = losses(run)
    assert len(runs["whole"]) >= 6
    assert len({row["train/loss"] for row in runs["whole"] if "train/loss" in row}) == 6
    for whole, parts in zip(runs["whole"], runs["parts"], strict=True):
        assert parts == pytest.approx(whole, rel=1e-5, abs=1e-5)
