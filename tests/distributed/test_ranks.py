"""Processes that mmtx starts: none outlives it, and none fails without a word."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmtx_cli.distributed import ranks
from tests.messages import faults_mention

LONG = "import time; time.sleep(60)"
COUNTING = """
import signal, sys, time
got = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _: got.append(number))
print("ready", flush=True)
while not got:
    time.sleep(0.01)
time.sleep(0.3)
print(got, flush=True)
sys.exit(128 + got[0])
"""
RUNNING = (
    "import sys; from mmtx_cli.distributed import ranks; sys.exit(ranks.finished(sys.argv[1:]))"
)
FOLLOWING = """
import os, time
from mmtx_cli.distributed import ranks
ranks.end_with_parent()
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def rank():
    """Start a Python program as the next rank."""

    def start(code):
        ranks.STARTED.append(subprocess.Popen([sys.executable, "-c", code]))
        return ranks.STARTED[-1]

    yield start
    ranks.end(0)


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def within(seconds, happened):
    limit = time.monotonic() + seconds
    while not happened() and time.monotonic() < limit:
        time.sleep(0.02)
    return happened()


@pytest.mark.parametrize(
    ("code", "end", "status"),
    [
        ("import sys; sys.exit(2)", ["status 2"], 2),
        ("import sys; sys.exit(143)", ["status 143"], 143),
        ("import sys; sys.exit(3)", ["status 3"], 1),
        ("import os; os.kill(os.getpid(), 9)", ["SIGKILL", "memory"], 1),
    ],
)
def test_a_rank_that_fails_is_named(rank, code, end, status):
    rank(LONG)
    rank(code).wait()
    faults_mention([ranks.failed()], ("rank 2 ", *end))
    assert ranks.status() == status
    assert ranks.lost(RuntimeError("Connection closed by peer")) == ranks.failed()


def test_a_rank_that_is_done_has_failed_only_before_all_have_joined(rank):
    rank("pass").wait()
    assert ranks.failed() is None
    faults_mention([ranks.failed(joined=False)], ("rank 1 ", "status 0"))


def test_an_error_is_not_attributed_to_ranks_that_did_not_fail(rank, monkeypatch):
    assert ranks.lost(RuntimeError("shapes differ")) is None
    monkeypatch.setattr(ranks, "MOMENT", 0.1)
    rank(LONG)
    assert ranks.lost(RuntimeError("shapes differ")) is None


def test_what_was_started_is_ended(rank):
    processes = [rank(LONG), rank(LONG), rank("pass")]
    ranks.end(0)
    assert all(process.poll() is not None for process in processes)
    assert ranks.STARTED == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_all_reaches_a_command_once(number):
    """Ctrl-C in a terminal goes to the whole group: twice would end a run without its save."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNING, sys.executable, "-c", COUNTING],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, number)
    out, _ = process.communicate(timeout=60)
    assert out == f"[{int(number)}]\n"
    assert process.returncode == 128 + number


def test_the_exit_status_after_a_signal_is_that_of_a_shell():
    assert ranks.finished([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137
    assert ranks.finished([sys.executable, "-c", "import sys; sys.exit(2)"]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")
def test_a_command_ends_with_the_process_that_started_it():
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNING, sys.executable, "-c", FOLLOWING],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    assert not is_gone(child)
    process.kill()
    process.wait()
    assert within(30, lambda: is_gone(child))
