"""Runs whose processes torchrun, SLURM or Hydra's submitit launcher starts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import PRETRAINING, Done, environment, error_message, mmtx, succeeded
from tests.messages import mentions
from tests.world import free_port

pytestmark = pytest.mark.xdist_group("devices")

TWO = ("trainer.devices=2", "trainer.strategy=fsdp2", "trainer.save_every=1")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port")


@pytest.fixture(scope="module")
def common(tmp_path_factory) -> list[str]:
    path = make_scenes(tmp_path_factory.mktemp("launchers") / "scenes", num=50, size=32)
    return ["pretrain", *PRETRAINING, f"data.path={path}"]


def torchrun(*args: str, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(
        [*TORCHRUN, free_port(), "-m", "mmtx_cli", *args],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def ended(process: subprocess.Popen, seconds: float = 300) -> Done:
    out, err = process.communicate(timeout=seconds)
    return Done(process.args, process.returncode, out, err)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    limit = time.monotonic() + 300
    while not path.exists() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.slow
def test_torchrun_starts_the_processes(common, tmp_path):
    run = tmp_path / "run"
    args = [*common, *TWO, "trainer.max_steps=2", "resume=auto", f"run_dir={run}"]
    for _ in range(2):  # the second time, it is finished
        done = ended(torchrun(*args))
        assert succeeded(done) == run
    assert "already finished" in done.stderr
    assert json.loads((run / "result.json").read_text())["steps"] == 2
    done = ended(torchrun(*common, "trainer.devices=3", f"run_dir={tmp_path / 'other'}"))
    assert done.returncode
    mentions(done.stderr, "trainer.devices, trainer.num_nodes: ", "3")
    assert "Traceback (most recent call last):\n  File" not in done.stderr.split("elastic")[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_dies_ends_the_others_of_torchrun(common, tmp_path):
    run = tmp_path / "run"
    process = torchrun(*common, *TWO, "trainer.max_steps=1000000", f"run_dir={run}")
    wait_for(run / "checkpoints" / "last.ckpt", process)
    children = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{process.pid}\n" in path.read_text()
    ]
    victim = next(
        pid
        for pid in children
        if b"\0RANK=1\0" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
    )
    start = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    done = ended(process)
    assert done.returncode == 1
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert time.monotonic() - start < 90  # 30 s on a machine that does nothing else
    assert not any(Path(f"/proc/{pid}/cmdline").exists() for pid in children)


@pytest.mark.slow
def test_a_job_of_slurm_is_requeued_and_goes_on(common, tmp_path):
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    (tmp_path / "scontrol").chmod(0o755)
    run = tmp_path / "run"
    args = [*common, *TWO, "trainer.max_steps=20", "resume=auto", f"run_dir={run}"]
    place = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "MASTER_ADDR": "127.0.0.1",
        **{f"SLURM_{k}": v for k, v in {"JOB_ID": "4321", "STEP_ID": "0", "NTASKS": "2"}.items()},
        **{f"SLURM_{k}": v for k, v in {"NTASKS_PER_NODE": "2", "NNODES": "1"}.items()},
        **{f"SLURM_{k}": v for k, v in {"NODEID": "0", "JOB_NAME": "train"}.items()},
    }

    def start() -> list[subprocess.Popen]:
        port = free_port()
        return [
            subprocess.Popen(
                [sys.executable, "-m", "mmtx_cli", *args],
                env=environment(**place, SLURM_PROCID=r, SLURM_LOCALID=r, MASTER_PORT=port),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for r in ("0", "1")
        ]

    tasks = start()
    wait_for(run / "checkpoints" / "last.ckpt", tasks[0])
    for task in tasks:  # SLURM signals all of them
        task.send_signal(signal.SIGUSR1)
    for done in map(ended, tasks):
        assert done.returncode == 128 + signal.SIGUSR1, done.stderr
    assert (tmp_path / "calls").read_text() == "requeue 4321\n"
    first, second = map(ended, start())
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert json.loads((run / "result.json").read_text())["steps"] == 20
    assert (tmp_path / "calls").read_text() == "requeue 4321\n"


@pytest.mark.slow
def test_submitit_starts_the_runs_of_a_sweep(common, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ["hydra/launcher=submitit_local", "seed=1,2", f"run_dir={tmp_path / 'sweep'}"]
    args = [common[0], "-m", *common[1:], *sweep, "trainer.max_steps=1"]
    mentions(error_message(mmtx(*args)), "trusted_packages=[hydra_plugins]")
    done = mmtx(*args, "trusted_packages=[hydra_plugins]")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "sweep").glob("*/result.json"))) == 2


def test_auto_resumes_only_a_run_that_has_a_checkpoint(common, tmp_path):
    err = error_message(mmtx(*common, "resume=auto", cwd=tmp_path))
    mentions(err, "resume=auto: ", "run_dir=FOLDER")
    err = error_message(mmtx(*common, "resume=often", f"run_dir={tmp_path / 'run'}"))
    mentions(err, "resume: 'often'", "true, false or auto")
    args = [*common, "resume=auto", f"run_dir={tmp_path / 'run'}"]
    assert succeeded(mmtx(*args, "trainer.max_steps=1")) == tmp_path / "run"
    done = mmtx(*args, "trainer.max_steps=1")
    assert succeeded(done) == tmp_path / "run"
    mentions(done.stderr, "already finished (1 steps)")
