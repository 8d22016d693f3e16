"""Evaluation of any number of samples by any number of processes."""

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from mmtx_cli.cli import main
from mmtx_cli.distributed.process import Process
from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import CONTRASTIVE, environment, mmtx, succeeded

pytestmark = pytest.mark.xdist_group("devices")

MOST = 64
QUICK = {1: [5], 2: [5]}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("uneven") / "scenes", num=MOST + 16, size=32)


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory) -> Path:
    """A run, and manifests of 1 to 64 samples beside it."""
    run = tmp_path_factory.mktemp("uneven_run") / "run"
    succeeded(mmtx("pretrain", *CONTRASTIVE, f"data.path={manifest}", f"run_dir={run}"))
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    for number in range(1, MOST + 1):
        lines = [json.dumps({**row, "split": "val"}) for row in rows[:number]]
        (manifest.parent / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return run


def process(rank: int, size: int, run: Path, data: Path, to: Path, numbers: list[int]) -> None:
    """Evaluate one data set after the other, in one group of processes."""
    torch.set_num_threads(1)
    place = {"MASTER_ADDR": "127.0.0.1", "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ.update(environment(**place, WORLD_SIZE=str(size)))
    if size > 1:
        where = f"file://{to}/meeting"
        wait = timedelta(seconds=100)
        dist.init_process_group("gloo", where, timeout=wait, rank=rank, world_size=size)
    own = Process(rank, size, torch.device("cpu"), dist.barrier, progress=False)
    for number in numbers:
        args = ["eval", f"ckpt={run}", f"data.path={data / f'{number}.jsonl'}", "split=val"]
        args += ["bootstrap=2", "data.num_workers=0", "data.eval_batch_size=3"]
        args += ["trainer.accelerator=cpu", f"run_dir={to / str(number)}"]
        out, err = io.StringIO(), io.StringIO()
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            patch.object(sys, "argv", ["mmtx", *args]),
            patch("mmtx_cli.distributed.launch.launch", lambda _: own),
        ):
            status = main(args)
        assert status == 0, (number, err.getvalue())
        if size > 1:
            dist.barrier()  # the first process has written its result
    if size > 1:
        dist.destroy_process_group()


def evaluated(size: int, trained: Path, data: Path, to: Path, numbers: list[int]) -> dict:
    """The metrics and predictions for each number of samples."""
    to.mkdir()
    args = (size, trained, data, to, numbers)
    multiprocessing.start_processes(process, args, size, start_method="fork")
    found = {}
    for number in numbers:
        result = json.loads((to / str(number) / "result.json").read_text())
        lines = (to / str(number) / "predictions.jsonl").read_text().splitlines()
        assert result["count"] == len(lines) == number
        found[number] = result["metrics"], [json.loads(line)["id"] for line in lines]
    return found


def agree(found: dict, wanted: dict) -> None:
    for number, (metrics, ids) in found.items():
        assert metrics == pytest.approx(wanted[number][0], abs=1e-6), number
        assert ids == wanted[number][1]


def test_metrics_of_uneven_shares_are_those_of_one_process(trained, manifest, tmp_path):
    one, two = (
        evaluated(size, trained, manifest.parent, tmp_path / str(size), numbers)
        for size, numbers in QUICK.items()
    )
    agree(two, one)


@pytest.mark.slow
def test_metrics_of_any_number_of_samples_on_any_number_of_processes(trained, manifest, tmp_path):
    numbers = [*range(1, MOST + 1)]
    one = evaluated(1, trained, manifest.parent, tmp_path / "1", numbers)
    for size in (2, 3, 4):
        agree(evaluated(size, trained, manifest.parent, tmp_path / str(size), numbers), one)
