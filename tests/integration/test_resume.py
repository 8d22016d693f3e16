import json
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.data.scenes.make import make_scenes
from tests.integration.run import TINY, mmtx, start

RANDOM = ["data.augment.scale=[0.6,1.0]", "head.captioning.dropout=0.2", "trainer.log_every=1"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("resume") / "scenes", num=60, size=32)


def steps_done(run_dir: Path) -> int:
    path = run_dir / "metrics.csv"
    rows = path.read_text().splitlines()[1:] if path.exists() else []
    return int(rows[-1].split(",")[0]) if rows else 0


def interrupt_after(arguments: list, run_dir: Path, step: int, number: int) -> int:
    process = start(*arguments)
    deadline = time.monotonic() + 240
    while steps_done(run_dir) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    process.communicate(timeout=120)
    return process.returncode


@pytest.mark.parametrize(
    ("extra", "number", "status"),
    [
        (["trainer.max_steps=90"], signal.SIGINT, 130),
        (["trainer.max_steps=45", "trainer.accumulate=2", "trainer.ema=0.9"], signal.SIGTERM, 143),
    ],
)
def test_a_stopped_run_ends_as_one_never_stopped_to_the_bit(
    manifest, tmp_path, extra, number, status
):
    common = ["pretrain", *TINY, *RANDOM, *extra, f"data.path={manifest}"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    mmtx(*common, f"run_dir={whole}")
    assert interrupt_after([*common, f"run_dir={stopped}"], stopped, 13, number) == status
    done = steps_done(stopped)
    assert 13 <= done < 40, "the run was to be stopped in the middle"
    mmtx("pretrain", "resume=true", f"run_dir={stopped}", "data.num_workers=1")

    expected = load_file(whole / "model" / "model.safetensors")
    found = load_file(stopped / "model" / "model.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    a, b = (
        torch.load(d / "checkpoints" / "last.ckpt", weights_only=True) for d in (whole, stopped)
    )
    assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in a["state_dict"])
    losses = [
        [row.split(",")[2:5] for row in (d / "metrics.csv").read_text().splitlines()]
        for d in (whole, stopped)
    ]
    assert losses[0] == losses[1]
    results = [json.loads((d / "result.json").read_text()) for d in (whole, stopped)]
    assert results[0]["metrics"] == results[1]["metrics"]
