"""Runs of several processes as a user has them: swept, lost, waited for."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import CAPTIONER, PRETRAINING, environment, error_message, mmtx, succeeded
from tests.messages import faults_mention, mentions

pytestmark = pytest.mark.xdist_group("devices")

TWO = ["trainer.devices=2", "trainer.strategy=ddp"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> str:
    path = make_scenes(tmp_path_factory.mktemp("ranks") / "scenes", num=50, size=32)
    return f"data.path={path}"


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory) -> str:
    run = tmp_path_factory.mktemp("trained") / "run"
    return f"ckpt={succeeded(mmtx('finetune', *CAPTIONER, manifest, f'run_dir={run}'))}"


def started(args, run: Path) -> subprocess.Popen:
    """A run of two processes that has begun to train."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *args, *TWO, f"run_dir={run}"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 240
    while not (run / "checkpoints" / "last.ckpt").exists() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.05)
    return process


def of_the_run(run: Path) -> list[int]:
    """Processes whose command line names the run folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [int(path.parent.name)] if str(run) in path.read_text() else []
        except OSError:
            continue
    return found


def second_rank(first: subprocess.Popen, run: Path) -> int:
    """The process of rank 1: its workers have the same environment, but another parent."""
    for number in of_the_run(run):
        place = Path("/proc", str(number))
        variables = (place / "environ").read_bytes().split(b"\0")
        if (
            b"LOCAL_RANK=1" in variables
            and f"PPid:\t{first.pid}\n" in (place / "status").read_text()
        ):
            return number
    raise AssertionError("rank 1 has ended")


def is_left(run: Path) -> bool:
    limit = time.monotonic() + 30
    while of_the_run(run) and time.monotonic() < limit:
        time.sleep(0.1)
    return bool(of_the_run(run))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "swept"),
    [
        (["finetune", *CAPTIONER], "seed=1,2"),
        (["finetune", *CAPTIONER], "freeze=[],[encoder.image]"),
        (["pretrain", *PRETRAINING, "trainer.max_steps=2"], "data.batch_size=8,16"),
    ],
    ids=["seed", "freeze", "pretrain"],
)
def test_every_run_of_a_sweep_is_made(manifest, tmp_path, args, swept):
    done = mmtx(args[0], "-m", *args[1:], manifest, swept, *TWO, f"run_dir={tmp_path / 'sweep'}")
    last = succeeded(done)
    runs = sorted((tmp_path / "sweep").iterdir())
    assert len(runs) == 2
    assert last == runs[1]
    assert all((run / "result.json").is_file() for run in runs)


@pytest.mark.slow
def test_every_evaluation_of_a_sweep_is_made(trained, tmp_path):
    args = [trained, "split=val,test", "bootstrap=2", f"run_dir={tmp_path / 'sweep'}"]
    succeeded(mmtx("eval", "-m", *args, *TWO, "trainer.accelerator=cpu"))
    results = [json.loads(p.read_text()) for p in sorted(tmp_path.glob("sweep/*/result.json"))]
    assert [result["split"] for result in results] == ["val", "test"]


@pytest.mark.slow
def test_a_run_of_a_sweep_that_is_refused_does_not_hold_up_the_others(manifest, tmp_path):
    args = [*CAPTIONER, manifest, "freeze=[nothing],[]", f"run_dir={tmp_path / 'sweep'}"]
    done = mmtx("finetune", "-m", *args, *TWO)
    first, *_, last = error_message(done).splitlines()
    faults_mention(
        [first, last],
        ("mmtx finetune: freeze: ", "'nothing'"),
        (f"mmtx finetune: {tmp_path / 'sweep'}/0_freeze-nothing-", ": "),
    )
    assert (tmp_path / "sweep" / "1_freeze-" / "result.json").is_file()


def test_a_sweep_in_processes_of_a_launcher_is_refused(tmp_path):
    err = error_message(
        mmtx("finetune", "-m", *CAPTIONER, "seed=1,2", cwd=tmp_path, WORLD_SIZE="2")
    )
    mentions(err, "-m: ", "WORLD_SIZE=2", "launcher")


@pytest.mark.parametrize("command", ["finetune", pytest.param("eval", marks=pytest.mark.slow)])
def test_a_port_that_is_taken(command, manifest, trained, tmp_path):
    given = [*CAPTIONER, manifest] if command == "finetune" else [trained]
    run = tmp_path / "run"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        err = error_message(mmtx(command, *given, *TWO, f"run_dir={run}", MASTER_PORT=port))
    assert err.splitlines()[-1].startswith(f"mmtx {command}: MASTER_PORT={port}: Address already")
    assert not of_the_run(run)
    assert not run.exists()


ENDLESS = ["finetune", *CAPTIONER, "trainer.max_steps=1000000", "trainer.save_every=5"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_rank_that_is_killed_ends_the_run(manifest, tmp_path):
    process = started([*ENDLESS, manifest], tmp_path / "run")
    os.kill(second_rank(process, tmp_path / "run"), signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    mentions(err, "mmtx finetune: rank 1 ", "SIGKILL", "memory")
    assert "Traceback" not in err
    assert not is_left(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_rank_outlives_the_first(manifest, tmp_path):
    process = started([*ENDLESS, manifest], tmp_path / "run")
    process.kill()
    process.communicate(timeout=100)
    assert not is_left(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_error_of_the_first_rank_ends_the_others(manifest, tmp_path):
    run = tmp_path / "run"
    process = started([*ENDLESS, manifest, "trainer.log_every=1"], run)
    (run / "checkpoints").rename(tmp_path / "away")
    (run / "checkpoints").touch()
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "Traceback" not in err
    assert f"mmtx finetune: {run / 'checkpoints'}" in err
    assert not is_left(run)


@pytest.mark.slow
def test_a_node_that_does_not_come(manifest, trained, tmp_path):
    run = tmp_path / "run"
    nodes = ["trainer.num_nodes=2", "trainer.join_timeout=2", f"run_dir={run}"]
    err = error_message(mmtx("finetune", *CAPTIONER, manifest, *nodes))
    mentions(err, "trainer.join_timeout=2 s ", " 127.0.0.1:", "(127.0.0.1 ", "MASTER_ADDR")
    mentions(err, "NODE_RANK=1 mmtx finetune encoder/image=vit encoder.image.patch_size=16")
    late = ("trainer.num_nodes=2: ", " 2 processes ", " 127.0.0.1:", "trainer.join_timeout=2 s;")
    mentions(err, *late)
    err = error_message(mmtx("eval", trained, *nodes[:2], f"run_dir={tmp_path / 'scored'}"))
    mentions(err, *late)


@pytest.mark.slow
def test_two_nodes(manifest, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    args = [*CAPTIONER, manifest, "trainer.num_nodes=2", f"run_dir={tmp_path / 'run'}"]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    second = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", "finetune", *args],
        env=environment(**where, NODE_RANK="1"),
    )
    assert succeeded(mmtx("finetune", *args, **where)) == tmp_path / "run"
    assert second.wait(60) == 0
