import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.comparison.run_results import read_results
from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import PRETRAINING, mmtx, stopped, succeeded

HOURS = 6 * 3600.0
RANDOM = ["data.augment.scale=[0.6,1.0]", "decoder.dropout=0.2", "trainer.log_every=1"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("resume") / "scenes", num=60, size=32)


def took_earlier(run_dir: Path, seconds: float | None) -> None:
    """Let the checkpoint say how long its run took; None: nothing, as an older version does."""
    path = run_dir / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    (state,) = (x for name, x in checkpoint["callbacks"].items() if "SaveCallback" in name)
    assert state.pop("seconds") > 0
    if seconds is not None:
        state["seconds"] = seconds
    torch.save(checkpoint, path)


def steps_done(run_dir: Path) -> int:
    path = run_dir / "metrics.csv"
    rows = path.read_text().splitlines()[1:] if path.exists() else []
    return int(rows[-1].split(",")[0]) if rows else 0


@pytest.mark.parametrize(
    ("extra", "number", "status"),
    [
        (["trainer.max_steps=50"], signal.SIGINT, 130),
        pytest.param(
            ["trainer.max_steps=45", "trainer.accumulate_grad_batches=2", "trainer.ema=0.9"],
            signal.SIGTERM,
            143,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_stopped_run_ends_as_one_never_stopped_to_the_bit(
    manifest, tmp_path, extra, number, status
):
    common = ["pretrain", *PRETRAINING, *RANDOM, *extra, f"data.path={manifest}"]
    whole = succeeded(mmtx(*common, f"run_dir={tmp_path / 'whole'}"))
    broken = tmp_path / "broken"
    done = stopped([*common, f"run_dir={broken}"], None, number, lambda: steps_done(broken) >= 13)
    assert done.returncode == status, done.stderr
    assert 13 <= steps_done(broken) < 40, "the run was to be stopped in the middle"
    took_earlier(broken, HOURS)
    moved = shutil.copytree(manifest.parent, tmp_path / "moved") / manifest.name
    arguments = [f"run_dir={broken}", f"data.path={moved}", "data.num_workers=1"]
    succeeded(mmtx("pretrain", "resume=true", *arguments))

    expected = load_file(whole / "model" / "model.safetensors")
    found = load_file(broken / "model" / "model.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    a, b = (torch.load(d / "checkpoints" / "last.ckpt", weights_only=True) for d in (whole, broken))
    assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in a["state_dict"])
    losses = [
        [row.split(",")[2:5] for row in (d / "metrics.csv").read_text().splitlines()]
        for d in (whole, broken)
    ]
    assert losses[0] == losses[1]
    results = [json.loads((d / "result.json").read_text()) for d in (whole, broken)]
    assert results[0]["metrics"] == results[1]["metrics"]

    # the time of all parts counts, wherever it is shown
    seconds = results[1]["seconds"]
    assert HOURS < seconds < 2 * HOURS
    assert "6 h" in (broken / "report.html").read_text()
    (tmp_path / "result.json").write_text('{"metrics": {}}')
    (tmp_path / "predictions.jsonl").touch()
    assert read_results(broken, tmp_path).cost["train_seconds"] == seconds


@pytest.mark.slow
def test_a_run_of_an_older_version_and_of_three_parts(manifest, tmp_path):
    run = tmp_path / "run"
    common = ["pretrain", *PRETRAINING, *RANDOM, f"run_dir={run}"]
    succeeded(mmtx(*common, "trainer.max_steps=2", f"data.path={manifest}"))
    longer = ["pretrain", "resume=true", f"run_dir={run}"]
    for steps, earlier, least in ((4, None, 0), (6, HOURS, HOURS), (8, None, 0)):
        took_earlier(run, earlier)
        succeeded(mmtx(*longer, f"trainer.max_steps={steps}"))
        found = json.loads((run / "result.json").read_text())
        assert found["steps"] == steps
        assert least < found["seconds"] < least + HOURS
