"""Processes that run some at a time, each with its share of the machine."""

import json
import os
import re
import sys
import time

import pytest

from mmtx_cli.comparison.scheduler import Run, run_all, share
from mmtx_cli.errors import ConfigError
from tests.messages import raises

NOTE = "import json, os, sys, time; begun = time.time(); time.sleep(0.5); "
NOTE += "json.dump([begun, time.time(), os.environ.get('OMP_NUM_THREADS')], open(sys.argv[1], 'w'))"


def noting(folder, count):
    runs = []
    for i in range(count):
        command = [sys.executable, "-c", NOTE, str(folder / f"{i}.json")]
        runs.append(Run(f"number {i}", command, folder / f"{i}.log"))
    return runs


def most_at_once(spans):
    return max(sum(a <= begun < b for a, b, _ in spans) for begun, _, _ in spans)


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_at_a_time_than_requested(tmp_path, capfd, monkeypatch, jobs):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run_all(noting(tmp_path, 4), jobs)
    spans = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert len(spans) == 4
    assert most_at_once(spans) == jobs
    threads = {threads for _, _, threads in spans}
    assert threads == ({None} if jobs == 1 else {share(0, 2, os.environ)["OMP_NUM_THREADS"]})
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "run 1 of 4: number 0"
    assert re.match(r"run 4 of 4: number 3 \(.*\d+ min\b", lines[-1])


def test_each_has_its_own_device():
    given = {"CUDA_VISIBLE_DEVICES": "3,5"}
    found = [share(slot, 4, given)["CUDA_VISIBLE_DEVICES"] for slot in range(4)]
    assert found == ["3", "5", "3", "5"]
    assert "CUDA_VISIBLE_DEVICES" not in share(1, 4, {"CUDA_VISIBLE_DEVICES": "3"})


def test_one_that_fails_stops_the_others(tmp_path):
    long = [sys.executable, "-c", "import time; time.sleep(60)"]
    bad = [sys.executable, "-c", "import sys; print('oh no'); sys.exit(2)"]
    begun = time.monotonic()
    with raises(ConfigError, "args: `", "failed", tmp_path / "bad.log"):
        run_all([Run("long", long, tmp_path / "a.log"), Run("b", bad, tmp_path / "bad.log")], 2)
    assert time.monotonic() - begun < 30
    assert (tmp_path / "bad.log").read_text() == "oh no\n"


@pytest.mark.parametrize("status", [130, 143])
def test_one_that_is_interrupted_interrupts_all(tmp_path, status):
    command = [sys.executable, "-c", f"import sys; sys.exit({status})"]
    with pytest.raises(KeyboardInterrupt):
        run_all([Run("a", command, tmp_path / "a.log")], 1)
