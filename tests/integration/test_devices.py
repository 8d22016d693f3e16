import csv
import json
from pathlib import Path

import pytest

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import PRETRAINING, mmtx, succeeded

pytestmark = pytest.mark.xdist_group("devices")  # so that the runs are made once

TWO = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu"]
STEPS = [
    "trainer.max_steps=8",
    "trainer.val_every=4",
    "trainer.log_every=1",
    "decoder.dropout=0",
]
EVAL_ARGS = ["bootstrap=50", "modality_importance=true"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("devices") / "scenes", num=50, size=32)


@pytest.fixture(scope="module")
def runs(manifest, tmp_path_factory) -> dict[str, Path]:
    """The same pre-training by one process and by two."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["pretrain", *PRETRAINING, *STEPS, f"data.path={manifest}"]
    return {
        "one": succeeded(mmtx(*common, f"run_dir={folder / 'one'}")),
        "two": succeeded(mmtx(*common, *TWO, f"run_dir={folder / 'two'}")),
    }


def losses(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


def test_two_processes_train_what_one_does(runs):
    # Weights are not compared: where a gradient is nothing but rounding (the keys' biases), Adam
    # makes a full step of its sign.
    one, two = (losses(run) for run in runs.values())
    assert len(one) == len(two) == 8 + 2
    for a, b in zip(one, two, strict=True):
        for name in (key for key in a if key.endswith("loss") and a[key]):
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-5, abs=1e-5), name


def test_two_processes_use_one_run_folder(runs):
    assert sorted(p.name for p in runs["one"].parent.iterdir()) == ["one", "two"]
    assert sorted(p.name for p in runs["one"].iterdir()) == sorted(
        p.name for p in runs["two"].iterdir()
    )


@pytest.mark.slow
def test_evaluation_does_not_depend_on_the_number_of_processes(runs, tmp_path):
    for name, extra in (("a", []), ("b", TWO)):
        run_dir = f"run_dir={tmp_path / name}"
        succeeded(mmtx("eval", f"ckpt={runs['one']}", *extra, run_dir, *EVAL_ARGS))
    a, b = (json.loads((tmp_path / n / "result.json").read_text()) for n in "ab")
    assert a["count"] == b["count"] == 5
    assert a["metrics"] == pytest.approx(b["metrics"], abs=1e-6)
    assert a["contribution"]
    assert a["contribution"] == b["contribution"]
    lines = [(tmp_path / n / "predictions.jsonl").read_text().splitlines() for n in "ab"]
    assert [json.loads(x)["id"] for x in lines[0]] == [json.loads(x)["id"] for x in lines[1]]


@pytest.mark.slow
def test_two_processes_caption_in_the_order_of_the_inputs(runs, manifest, tmp_path):
    pictures = sorted((manifest.parent / "images").glob("*.jpg"))[:7]
    inputs = f"inputs=[{','.join(map(str, pictures))}]"
    outs = []
    for name, extra in (("a", []), ("b", TWO)):
        run_dir = f"run_dir={tmp_path / name}"
        done = mmtx("caption", f"ckpt={runs['one']}", inputs, *extra, run_dir)
        assert succeeded(done) == tmp_path / name
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert [row["path"] for row in rows] == [str(p) for p in pictures]
        outs.append([row["caption"] for row in rows])
    assert outs[0] == outs[1]
